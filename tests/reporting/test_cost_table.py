"""Costs by every convention against hand counts, and warnings about budgets."""

import pytest

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, MODEL_MACS
from switchhead_lab.model.executed import executed_attention, executed_feedforward
from switchhead_lab.reporting.cost_table import cost_grid, matched_lines, off_budget_lines
from switchhead_lab.reporting.report_data import read_report_data

T, C, D, V, L = 32, 2, 64, 256, 2
SWITCHALL = {
    "kind": "switchhead",
    "name": "switchall",
    "n_heads": 2,
    "n_experts": 4,
    "top_k": 2,
    "match_over": "d_expert",
    "feedforward": {"kind": "sigma_moe", "n_experts": 4, "top_k": 1},
    "seeds": [0],
}
GROUPED = {
    "kind": "grouped_query",
    "name": "grouped",
    "n_heads": 8,
    "n_kv_heads": 2,
    "seeds": [0],
}


def frame_of(writer):
    return read_report_data(writer.write(), writer.runs_dir)


def cells_of(frame, name):
    grid = cost_grid(frame)
    row = next(row for row in grid.rows if row[0].text == name)
    return {column.key: cell for column, cell in zip(grid.columns, row, strict=True)}


def test_ratios_to_the_baseline_by_hand(complete) -> None:
    """Dense: 8 heads of 8, d_ff 128. SwitchHead: 2 heads, 4 experts of which 2."""
    frame = frame_of(complete)
    model = complete.switchhead(2, 4, 2)
    P, F = model.attention.d_head, model.feedforward.d_ff
    dense = 8 * (4 * T * 8 * D + 2 * C * T * T * 8 + 2 * C * T * 8 * D)
    shared = 2 * 2 * T * P * D + 2 * 2 * T * 2 * P * (D + 1) + 2 * 2 * C * T * T * P
    equations = shared + 2 * 2 * C * T * P * D
    published = shared + 2 * 2 * T * P * D + 2 * 4 * D * T * C
    base_feedforward, feedforward = 2 * T * D * 128, 2 * T * D * F
    output = T * D * V
    cells = cells_of(frame, "switchhead-declared")
    for convention, own in (("published", published), ("equations", equations)):
        assert cells[f"relative_attention_macs_{convention}"].value == own / dense
        whole = L * (own + feedforward) + output
        assert cells[f"relative_model_macs_{convention}"].value == pytest.approx(
            whole / (L * (dense + base_feedforward) + output)
        )
        assert cells[f"model_macs_{convention}"].value == whole / T
    baseline = complete.dense()
    own, base = executed_attention(model).macs, executed_attention(baseline).macs
    assert cells["relative_attention_macs_executed"].value == own / base
    own += executed_feedforward(model).macs
    base += executed_feedforward(baseline).macs
    assert cells["relative_model_macs_executed"].value == pytest.approx(
        (L * own + output) / (L * base + output)
    )
    assert cells["family"].text == "SwitchHead"
    assert cells["matched"].text == "parameters"
    for name in ("attention_macs", "model_macs"):
        for convention in ("published", "equations", "executed"):
            assert cells_of(frame, "dense")[f"relative_{name}_{convention}"].text == "100.0%"


def test_every_convention_is_a_column_in_print(complete) -> None:
    headings = cost_grid(frame_of(complete)).headings()
    assert headings[3:9] == [
        "attention MACs / dense, equations",
        "attention MACs / dense, published",
        "attention MACs / dense, executed",
        "model MACs / dense, equations",
        "model MACs / dense, published",
        "model MACs / dense, executed",
    ]


def test_undefined_costs_are_marked(make_writer) -> None:
    frame = frame_of(make_writer(convention="equations", models=[GROUPED], studies=None))
    cells = cells_of(frame, "grouped")
    for kind in (ATTENTION_MACS, MODEL_MACS):
        name = kind.name.replace("-", "_")
        assert cells[f"relative_{name}_published"].text == "not defined"
        assert cells[f"relative_{name}_published"].value is None
        assert cells[f"relative_{name}_equations"].text.endswith("%")
        assert cells[f"relative_{name}_executed"].text.endswith("%")


def test_feed_forward_experts_show_in_the_whole_model_only(make_writer) -> None:
    plain = {key: value for key, value in SWITCHALL.items() if key != "feedforward"}
    models = [SWITCHALL, plain | {"name": "plain", "match_over": "d_head"}]
    frame = frame_of(make_writer(models=models, studies=None))
    switchall, switchhead = (cells_of(frame, name) for name in ("switchall", "plain"))
    assert switchall["family"].text == "SwitchHead + sigma-MoE"
    attention, model = "relative_attention_macs_published", "relative_model_macs_published"
    assert switchall[attention].value == switchhead[attention].value
    assert switchall[model].value < switchhead[model].value
    active = "relative_active_parameters"
    assert switchall[active].value < switchhead[active].value


def test_models_off_the_budget_are_warned_of(make_writer) -> None:
    """48 experts whose width changes in whole channels are more than 1 % below the budget."""
    coarse = SWITCHALL | {"feedforward": {"kind": "sigma_moe", "n_experts": 48, "top_k": 1}}
    frame = frame_of(make_writer(models=[coarse], studies=None))
    costs, base = frame.models[1].costs, frame.baseline.costs
    fewer = 100 * (1 - costs.n_parameters / base.n_parameters)
    assert fewer > 1
    (line,) = off_budget_lines(frame)
    assert line == f"WARNING: switchall has {fewer:.1f} % fewer parameters than dense."
    assert off_budget_lines(frame_of(make_writer(studies=None))) == []


def test_other_conventions_would_have_matched_other_sizes(make_writer) -> None:
    frame = frame_of(make_writer(matching="mac_matched", convention="executed", studies=None))
    row = next(row for row in frame.models if row.name == "switchhead-declared")
    sizes = row.resolved.sizes_by_convention
    assert sizes["executed"] == row.sizes.d_head < sizes["published"]
    # A head-matched model keeps its parameters in any sweep.
    assert frame.models[1].resolved.matched == "parameters"
    assert matched_lines(frame) == [
        f"switchhead-declared is MAC-matched by the executed convention, with d_head "
        f"{sizes['executed']}; it would be {sizes['equations']} by equations, "
        f"{sizes['published']} by published."
    ]
    assert cells_of(frame, "switchhead-declared")["matched"].text == "attention MACs (executed)"
    assert matched_lines(frame_of(make_writer(studies=None))) == []
