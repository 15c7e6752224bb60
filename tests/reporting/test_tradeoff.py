import math

import pytest

from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.tradeoff import Point, loss_ceiling, tradeoff_points


def _points(*perplexities):
    return [Point("", "candidate", "", 1.0, value) for value in perplexities]


def test_points_of_a_complete_sweep(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    points = tradeoff_points(data, "macs")
    assert [(point.label, point.kind, point.family) for point in points] == [
        ("dense", "baseline", "dense"),
        ("dense-h2", "declared", "dense"),
        ("switchhead-declared", "declared", "SwitchHead"),
        ("switchhead", "best", "SwitchHead"),
        # The candidate of the best model's shape is one of its runs; the pruned one has no result.
        ("", "candidate", ""),
    ]
    assert points[0].loss == pytest.approx(35.5)
    assert points[0].std == pytest.approx(0.5)
    assert points[2].std is None
    assert points[4].loss == 36.5


def test_cost_follows_the_name(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    macs, memory = (tradeoff_points(data, name)[0].cost for name in ("macs", "memory_floats"))
    assert (macs, memory) == (data.baseline.costs.macs, data.baseline.costs.memory_floats)


def test_incomplete_model_says_so(make_writer):
    writer = make_writer()
    writer.fill_models()
    writer.forget("dense", 2)
    data = read_report_data(writer.write(), writer.runs_dir)
    assert tradeoff_points(data, "macs")[0].label == "dense [2 of 3 seeds]"


def test_ceiling_only_for_outliers():
    assert loss_ceiling(_points(35, 36, 37, 38)) is None
    assert loss_ceiling(_points(35, 2000)) is None
    ceiling = loss_ceiling(_points(35, 36, 37, 2000))
    assert 37 < ceiling < 2000


def test_an_infinite_loss_is_an_outlier_and_hides_no_other():
    assert loss_ceiling(_points(12.0, math.inf)) == 12.0
    assert loss_ceiling(_points(math.inf)) is None
    assert loss_ceiling(_points(10.0, 11.0, 12.0, math.inf)) < 20
    assert loss_ceiling(_points(10.0, 11.0, 12.0)) is None
