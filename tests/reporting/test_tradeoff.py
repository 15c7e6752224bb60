import math

import pytest

from switchhead_lab.budget.cost_axes import (
    ATTENTION_MACS,
    COST_KINDS,
    MODEL_MACS,
    CostAxis,
    axis_of,
)
from switchhead_lab.reporting.figure_axes import cost_figure_axis
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.tradeoff import Point, loss_ceiling, tradeoff_points, undrawn_lines

MACS = cost_figure_axis(axis_of(ATTENTION_MACS, "published"))


def _points(*perplexities):
    return [Point("", "candidate", "", 1.0, value) for value in perplexities]


def test_points_of_a_complete_sweep(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    points = tradeoff_points(data, MACS)
    assert [(point.label, point.kind, point.family) for point in points] == [
        ("dense (n=3)", "baseline", "dense"),
        ("dense-h2 (n=3)", "declared", "dense"),
        ("switchhead-declared (n=1)", "declared", "SwitchHead"),
        ("switchhead (n=1)", "best", "SwitchHead"),
        # The candidate with the best model's shape is one of its runs; a pruned one has no result.
        ("", "candidate", ""),
    ]
    assert points[0].loss == pytest.approx(35.5)
    assert points[0].std == pytest.approx(0.5)
    assert points[2].std is None
    assert points[4].loss == 36.5


def test_cost_follows_the_name(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    costs = data.baseline.costs
    found = {
        kind.name: tradeoff_points(data, cost_figure_axis(axis_of(kind, "equations")))[0].cost
        for kind in COST_KINDS
    }
    assert found == {
        "attention-macs": costs.attention["equations"].macs,
        "layer-macs": costs.attention["equations"].macs + costs.feedforward["equations"].macs,
        "model-macs": costs.model_macs("equations") / 32,
        "attention-memory": costs.attention["equations"].saved_floats,
        "model-memory": costs.model_saved_floats("equations"),
        "parameters": costs.n_parameters,
        "active-parameters": costs.n_active_parameters,
    }


def test_costs_that_a_convention_does_not_define_are_not_drawn(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    axis = cost_figure_axis(CostAxis(MODEL_MACS, "counted by hand"))
    assert tradeoff_points(data, axis) == []
    assert undrawn_lines(data, [MACS]) == []
    assert undrawn_lines(data, [axis])[1] == (
        "Note: dense-h2 is not in the figure of MACs of the whole model per token, which the "
        "counted by hand convention does not define for it."
    )


def test_incomplete_model_is_marked(make_writer):
    writer = make_writer()
    writer.fill_models()
    writer.forget("dense", 2)
    data = read_report_data(writer.write(), writer.runs_dir)
    assert tradeoff_points(data, MACS)[0].label == "dense [2 of 3 seeds] (n=2)"


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
