"""The page's loss curves, and the names of its sweeps."""

import re

import pytest
from html_document import problems_of

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.reporting.curves import loss_curves, shown_losses
from switchhead_lab.reporting.html.curves import HEIGHT, WIDTH, curve_figures
from switchhead_lab.reporting.html.site import site_text
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import recorded_sweeps
from switchhead_lab.tracking.sweep_record import sweep_id

# Falls from far above what is shown.
LOSSES = {0: 6.0, 25: 4.0, 50: 3.6, 100: 3.5}


@pytest.fixture
def lab(home) -> Workspace:
    return find_workspace(home)


def _trained(make_writer, **changes):
    writer = make_writer(studies=None, models=[], **changes)
    for seed in (0, 1):
        losses = {step: loss + 0.1 * seed for step, loss in LOSSES.items()}
        writer.add("dense", "baseline", writer.dense(), seed, 35.0, validations=losses)
    writer.write()
    return writer


def _numbers(markup: str) -> list[tuple[float, float]]:
    """Return the corners of paths and polygons."""
    shapes = re.findall(r'(?:class="(?:curve|band)")[^>]* (?:d|points)="([^"]*)"', markup)
    return [
        (float(x), float(y))
        for shape in shapes
        for x, y in re.findall(r"(-?[\d.]+)[ ,](-?[\d.]+)", shape)
    ]


def test_sections_have_loss_curves_over_tokens_and_compute(lab, make_writer) -> None:
    _trained(make_writer)
    text = site_text(lab, recorded_sweeps(lab.runs_dir))
    assert problems_of(text) == []
    assert "<h3>Loss curves</h3>" in text
    for cost in ("tokens", "training MACs (executed)"):
        assert f"validation loss against {cost}</figcaption>" in text
    assert "dense (n=2)" in text
    for style in (".curve { stroke: light-dark(", ".band { fill: light-dark("):
        assert style in text


def test_curves_stay_inside_their_figure(make_writer) -> None:
    writer = _trained(make_writer)
    curves = loss_curves(read_report_data(writer.record(), writer.runs_dir))
    low, high = shown_losses(curves)
    assert low < 3.5
    assert high < 6.0
    for figure in curve_figures(curves):
        corners = _numbers(str(figure.svg))
        assert len(corners) >= 2 * len(LOSSES)
        outside = [(x, y) for x, y in corners if not (0 <= x <= WIDTH and 0 <= y <= HEIGHT)]
        assert outside == []


def test_sweeps_without_recorded_validations_have_none(lab, complete) -> None:
    complete.write()
    assert "Loss curves" not in site_text(lab, recorded_sweeps(lab.runs_dir))


def _titles(lab) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", site_text(lab, recorded_sweeps(lab.runs_dir)))[1:]


def test_declarations_of_one_name_and_size_say_what_differs(lab, make_writer) -> None:
    data = {"corpus": "sotu", "tokenizer": {"kind": "byte"}}
    _trained(make_writer)
    assert _titles(lab) == ["mini"]
    _trained(make_writer, data=data | {"corpus": "other"})
    assert sorted(_titles(lab)) == ["mini (corpus other)", "mini (corpus sotu)"]
    longer = make_writer().sweep.model_dump(mode="json")["training"] | {"n_steps": 200}
    writer = _trained(make_writer, training=longer)
    titles = sorted(_titles(lab))
    assert "mini (corpus sotu, training.n_steps=200)" in titles
    assert len(set(titles)) == 3
    many = longer | {"learning_rate": 0.5, "clip_norm": 0.5, "n_warmup_steps": 7}
    writer = _trained(make_writer, training=many)
    assert f"mini ({sweep_id(writer.sweep)})" in _titles(lab)
