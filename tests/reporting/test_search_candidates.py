"""What figures of searches show."""

from dataclasses import replace

import pytest

from switchhead_lab.config.files import parse
from switchhead_lab.config.search import Range, Study
from switchhead_lab.reporting.figures.searches import draw_search
from switchhead_lab.reporting.importance import field_importances
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.searches import Search, _dimension, _height, read_searches


@pytest.fixture
def search(complete) -> Search:
    (found,) = read_searches(read_report_data(complete.write(), complete.runs_dir))
    return found


def test_candidates_are_in_the_order_of_their_trials(search) -> None:
    assert [(one.trial_number, one.quality) for one in search.candidates] == [(0, 34.5), (3, 36.5)]
    assert sorted(search.without_result) == [1, 2]  # pruned, infeasible
    assert search.best.trial_number == 0
    assert [one.name for one in search.dimensions] == ["n_heads", "n_experts", "top_k"]
    # Points (1, 4, 2) and (1, 2, 2) in n_heads = [1, 2], n_experts = [2, 4], top_k = [2].
    assert [one.heights for one in search.candidates] == [(0.0, 1.0, 0.0), (0.0, 0.0, 0.0)]


def test_values_lie_between_the_ends_of_their_ranges() -> None:
    log = Range(low=1e-4, high=1e-2, log=True)
    assert _height(log, 1e-3) == pytest.approx(0.5)
    assert _height(Range(low=2, high=10), 4) == pytest.approx(0.25)
    assert [_height(["relu", "gelu", "silu"], name) for name in ("relu", "gelu")] == [0.0, 0.5]
    assert _dimension("training.learning_rate", log).labels == ((0.0, "0.0001"), (1.0, "0.01"))
    few = _dimension("top_k", Range(low=1, high=3))
    assert [text for _, text in few.labels] == ["1", "2", "3"]
    many = _dimension("d_expert", Range(low=32, high=1024, step=32))
    assert [text for _, text in many.labels] == ["32", "1.024k"]


def test_a_tuned_baseline_has_a_figure_too(make_writer) -> None:
    writer = make_writer(studies=None, models=None, tune={"training.learning_rate": [1e-3, 2e-3]})
    (study,) = writer.sweep.all_studies
    assert isinstance(study, Study)
    for number, rate in enumerate((1e-3, 2e-3)):
        point = {"training.learning_rate": rate}
        model = writer.dense()
        writer.add(
            "dense", "candidate", model, number, 30.0 + number, trial_number=number, point=point
        )
    (found,) = read_searches(read_report_data(writer.write(), writer.runs_dir))
    assert [one.heights for one in found.candidates] == [(0.0,), (1.0,)]
    assert found.dimensions[0].name == "learning_rate"


def test_equal_searches_give_equal_bytes(search) -> None:
    assert draw_search(search) == draw_search(search)


def test_importance_finds_the_field_that_decides() -> None:
    space = {"n_heads": [1, 2, 4], "top_k": [1, 2, 3, 4], "training.learning_rate": [1e-3, 2e-3]}
    study = parse(Study, {"model": {"kind": "switchhead"}, "n_trials": 24, "space": space}, "test")
    points = [
        {"n_heads": heads, "top_k": k, "training.learning_rate": rate}
        for heads in (1, 2, 4)
        for k in (1, 2, 3, 4)
        for rate in (1e-3, 2e-3)
    ]
    found = field_importances(study, [(point, 40.0 - point["top_k"]) for point in points])
    assert found[0][0] == "top_k"
    assert found[0][1] > 0.9
    assert sum(share for _, share in found) == pytest.approx(1.0)
    assert field_importances(study, [(point, 40.0) for point in points]) == ()


def test_few_candidates_have_no_importances(search) -> None:
    assert search.importances == ()


@pytest.mark.draws_figures
def test_the_figure_of_a_search_shows_importances_below(search) -> None:
    shares = (("top_k", 0.75), ("n_heads", 0.25))
    plain, larger = draw_search(search), draw_search(replace(search, importances=shares))
    assert height_of(larger.by_format["png"]) > height_of(plain.by_format["png"])
    svg = larger.by_format["svg"].decode()
    assert "<!-- 75 % -->" in svg
    assert svg.index("<!-- 75 % -->") < svg.index("<!-- 25 % -->")


def height_of(png: bytes) -> int:
    return int.from_bytes(png[20:24], "big")
