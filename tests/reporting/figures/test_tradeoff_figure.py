import math
import re
from dataclasses import replace

import matplotlib as mpl
import pytest

from switchhead_lab.reporting.figure_layout import Frame, front_corners, front_name, has_front
from switchhead_lab.reporting.figures.tradeoff import draw_tradeoff
from switchhead_lab.reporting.tradeoff import Point

pytestmark = pytest.mark.draws_figures

LABEL = "MACs ({unit}MACs)"
LOSS = "validation perplexity"
POINTS = [
    Point("dense", "baseline", "dense", 450e6, 35.6, 0.1),
    Point("dense-h2", "declared", "dense", 450e6, 36.9),
    Point("switchhead_$a$", "best", "SwitchHead", 170e6, 35.1, 0.05),
    Point("", "candidate", "", 140e6, 36.4),
]


def declared(label: str, cost: float, loss: float, family: str = "SwitchHead") -> Point:
    return Point(label, "declared", family, cost, loss)


@pytest.mark.thorough
def test_same_points_give_the_same_bytes():
    assert draw_tradeoff(POINTS, "title", LABEL, LOSS) == draw_tradeoff(
        POINTS, "title", LABEL, LOSS
    )


def test_bytes_do_not_depend_on_the_users_style():
    plain = draw_tradeoff(POINTS, "title", LABEL, LOSS)
    with mpl.rc_context({"lines.linewidth": 9.0, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert draw_tradeoff(POINTS, "title", LABEL, LOSS) == plain


def test_other_points_give_another_figure():
    assert draw_tradeoff(POINTS, "title", LABEL, LOSS) != draw_tradeoff(
        POINTS[1:], "title", LABEL, LOSS
    )


def test_files_have_the_named_format_and_no_timestamp():
    figures = draw_tradeoff(POINTS, "title", LABEL, LOSS)
    assert figures.by_format["png"].startswith(b"\x89PNG")
    assert b"tIME" not in figures.by_format["png"]
    assert b"<svg" in figures.by_format["svg"]
    assert figures.by_format["pdf"].startswith(b"%PDF")
    assert b"CreationDate" not in figures.by_format["pdf"]
    assert not re.search(rb"<dc:date>|\b20\d\d-\d\d-\d\d", figures.by_format["svg"])


def test_unit_follows_the_largest_cost():
    svg = draw_tradeoff(POINTS, "title", LABEL, LOSS).by_format["svg"]
    assert b"MACs (M MACs)" in svg


@pytest.mark.parametrize(
    "points",
    [
        [],
        POINTS[:1],
        [Point("zero", "baseline", "dense", 1.0, 1.0, 0.0)],
        [
            Point(f"model-{i}", "declared", "SwitchHead", 1e6 * (i + 1), 30.0 + i, 0.2)
            for i in range(12)
        ],
        [
            *POINTS,
            Point("", "candidate", "", 100e6, 5000.0),
            Point("bad", "declared", "SwitchHead", 1e8, 1e6),
        ],
        [*POINTS[:2], Point("infinite", "declared", "SwitchHead", 1e8, math.inf)],
        [
            Point("infinite", "baseline", "dense", 1e8, math.inf),
            Point("b", "declared", "dense", 1e8, math.inf),
        ],
    ],
    ids=["none", "one", "tiny", "twelve", "outliers", "infinite", "all-infinite"],
)
def test_any_number_of_points_can_be_drawn(points):
    assert draw_tradeoff(points, "title", LABEL, LOSS).by_format["png"]


def test_outlier_is_named_with_its_value():
    figures = draw_tradeoff(
        [*POINTS, Point("bad", "declared", "SwitchHead", 1e8, 5000.0)], "title", LABEL, LOSS
    )
    assert b"bad, 5,000" in figures.by_format["svg"]


def test_the_legend_names_model_families():
    families = ("dense", "SwitchHead", "MoA", "grouped-query", "SwitchHead + sigma-MoE")
    points = [
        Point(f"m{i}", "declared", name, 1e8 + i, 30.0 + i) for i, name in enumerate(families)
    ]
    svg = draw_tradeoff([*POINTS[:1], *points], "title", LABEL, LOSS).by_format["svg"].decode()
    for name in ("dense baseline", "other dense", *families[1:]):
        assert f"<!-- {name} -->" in svg, name
    assert "best of the search" not in svg


def test_candidates_in_the_pareto_set_have_a_look_of_their_own() -> None:
    found = Point("", "candidate", "Pareto set", 120e6, 36.0)
    svg = draw_tradeoff([*POINTS, found], "title", LABEL, LOSS).by_format["svg"].decode()
    assert "<!-- candidate in the Pareto set -->" in svg
    assert (
        "in the Pareto set"
        not in draw_tradeoff(POINTS, "title", LABEL, LOSS).by_format["svg"].decode()
    )


def test_the_front_is_one_of_means_not_of_single_candidates() -> None:
    means = [
        Point("a", "declared", "dense", 2e6, 30.0, n=3),
        Point("b", "best", "SwitchHead", 1e6, 31.0, n=2),
    ]
    candidate = Point("", "candidate", "", 5e5, 20.0)
    corners = front_corners([*means, candidate], Frame(1e6, "M ", (0.0, 3.0), (29.0, 32.0), None))
    assert corners[:3] == [(1.0, 31.0), (2.0, 31.0), (2.0, 30.0)]


def test_the_front_of_means_leaves_out_single_seeds() -> None:
    means = [
        Point("a", "declared", "dense", 2e6, 30.0, n=3),
        Point("b", "declared", "SwitchHead", 1e6, 31.0, n=3),
    ]
    single = Point("c", "declared", "SwitchHead", 5e5, 20.0)
    frame = Frame(1e6, "M ", (0.0, 3.0), (29.0, 32.0), None)
    assert front_corners([*means, single], frame) == front_corners(means, frame)
    assert front_name([*means, single]) == "Pareto front of means (n > 1)"
    assert front_name(means) == "Pareto front"
    assert not has_front([means[0], single])
    alone = [replace(point, n=1) for point in means]
    assert front_corners(alone, frame) == front_corners(means, frame)
