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


def test_the_readme_states_the_claims_of_the_matching_rules() -> None:
    sweep = find_sweep(ROOT / "sweeps", "matching-rules").resolve("pocket")
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (model,) = {
        (model.n_heads, model.experts.n_experts, model.experts.n_chosen)
        for model in (one.model.attention for one in all_variants(sweep))
        if model.experts is not None
    }
    assert model == (2, 4, 2)
    assert "one SwitchHead (two heads, four experts, k = 2)" in text
    assert sweep.baseline.n_heads == 8
    assert "the dense baseline (eight heads)" in text
    claims = sweep.stated_claims
    assert {claim.versus for claim in claims} == {"dense"}
    assert len({(str(claim.quality), str(claim.cost)) for claim in claims}) == 1
    quality, costs = claims[0].quality, claims[0].cost
    assert quality is not None
    assert (quality.kind, quality.metric) == ("not_worse", "validation/loss")
    same = ("attention-macs:executed", "model-macs:executed")
    assert costs == {**dict.fromkeys(same, 1.0), "memory": 0.6}
    assert (
        f"The claim: the loss is at most {quality.margin} nats above dense, attention and model "
        "take no more `executed` MACs, and attention keeps at most 60 % of the floats"
    ) in text


def test_the_ladder_has_the_sizes_that_its_page_names() -> None:
    file = find_sweep(ROOT / "sweeps", "ladder")
    text = " ".join((ROOT / "docs/ladder.md").read_text(encoding="utf-8").split())
    sizes = []
    for sweep in file.resolve_all():
        costs = [resolved_model(sweep, one).costs for one in all_variants(sweep)]
        sizes.append(max(one.n_parameters for one in costs if one is not None))
    assert sizes == sorted(sizes)
    assert len(sizes) == 4
    millions = f"from {sizes[0] / 1e6:.1f} to {sizes[-1] / 1e6:.0f} million parameters"
    assert f"`sweeps/ladder.toml` has four sizes {millions}" in text
