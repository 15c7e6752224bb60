"""Figures in the documents that follow from sweep files."""

from pathlib import Path

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, axis_of
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.sweeping.plan import all_variants, resolved_model

ROOT = Path(__file__).parents[2]


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
