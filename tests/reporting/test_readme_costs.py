"""The costs in the README are those of its models, by the named conventions."""

import re
from pathlib import Path

import pytest

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, ATTENTION_MEMORY, MODEL_MACS, axis_of
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.sweeping.plan import all_variants, find_variant, resolved_model

ROOT = Path(__file__).parents[2]
KINDS = {
    "attention MACs": ATTENTION_MACS,
    "model MACs": MODEL_MACS,
    "attention memory": ATTENTION_MEMORY,
}
HEADING, _, *ROWS = (
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| (model \| heads|---.*---.*---.*---.*---|dense|SwitchHead, best)", line)
)
TITLES = ["dense", "dense-head-matched", "switchhead n_heads=2 n_experts=4 top_k=4"]


@pytest.mark.parametrize(("row", "title"), list(zip(ROWS, TITLES, strict=True)), ids=TITLES)
def test_costs_in_the_readme(row: list[str], title: str) -> None:
    sweep = find_sweep(ROOT / "sweeps", "matched-params").resolve("pocket")
    variants = all_variants(sweep)
    model, baseline = (find_variant(variants, name) for name in (title, "dense"))
    costs, base = (resolved_model(sweep, v).costs for v in (model, baseline))
    cells = dict(zip(HEADING, row, strict=True))
    assert int(cells["heads"]) == model.model.attention.n_heads
    assert int(cells["d_head"]) == model.model.attention.d_head
    assert cells["parameters"] == f"{costs.n_parameters / 1e6:.3f}M"
    relative = [name for name in cells if "MACs" in name or "memory" in name]
    assert len(relative) == 5
    for name in relative:
        kind, convention = name.rsplit(", ", 1)
        axis = axis_of(KINDS[kind], convention)
        assert cells[name] == f"{100 * axis.read(costs) / axis.read(base):.0f} %", name


def test_costs_by_matching_rule_in_the_documents() -> None:
    sweep = find_sweep(ROOT / "sweeps", "matching-rules").resolve("pocket")
    variants = all_variants(sweep)
    axis = axis_of(ATTENTION_MACS, "executed")
    costs = {one.name: axis.read(resolved_model(sweep, one).costs) for one in variants}
    rows = {
        "parameters": "by-parameters",
        **{f"MACs, `{name}`": f"by-{name}" for name in ("published", "equations", "executed")},
    }
    text = (ROOT / "docs/accounting.md").read_text(encoding="utf-8")
    for words, name in rows.items():
        assert f"| {words} | {100 * costs[name] / costs['dense']:.1f} % |" in text


def test_steps_and_seeds_in_the_readme() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    file = find_sweep(ROOT / "sweeps", "matched-params")
    demo, pocket = file.resolve("demo"), file.resolve("pocket")
    assert f"it trains small models for {demo.training.n_steps} steps" in text
    assert f"trains larger ones in full ({pocket.training.n_steps} steps, three seeds;" in text
    parts = [pocket.baseline, *pocket.models, *pocket.studies]
    assert {len(part.seeds) for part in parts} == {3}
