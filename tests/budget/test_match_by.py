"""Models with a matching rule of their own, beside others of the same sweep."""

from pathlib import Path

import pytest

from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import ConfigError
from switchhead_lab.sweeping.costing import all_counters
from switchhead_lab.sweeping.match_rows import match_rows
from switchhead_lab.sweeping.plan import declared_variants, resolved_model
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.views.match import match_lines

SWEEPS = Path(__file__).parents[2] / "sweeps"
CONVENTIONS = ("published", "equations", "executed")


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return find_sweep(SWEEPS, "matching-rules").resolve("pocket")


def test_each_model_meets_the_budget_of_its_own_rule(sweep: Sweep) -> None:
    variants = {variant.name: variant for variant in declared_variants(sweep)}
    dense = variants["dense"].model
    for counter in all_counters():
        model = variants[f"by-{counter.convention}"].model
        wider = model.attention.model_copy(update={"d_head": model.attention.d_head + 4})
        budget = counter.attention_macs(dense)
        assert counter.attention_macs(model) <= budget
        assert counter.attention_macs(model.model_copy(update={"attention": wider})) > budget
        assert model.feedforward == dense.feedforward
    by_parameters = variants["by-parameters"]
    assert by_parameters.matched == "parameters"
    assert by_parameters.model.attention.d_head < variants["by-executed"].model.attention.d_head


def test_rows_and_records_name_the_rule(sweep: Sweep) -> None:
    variants = declared_variants(sweep)
    rows = match_rows(sweep, variants)
    assert [(row["matched"], row["matched_convention"]) for row in rows] == [
        (None, None),
        ("parameters", "executed"),
        *(("attention_macs", convention) for convention in CONVENTIONS),
    ]
    lines = list(match_lines(rows))
    assert "matched by parameters: by-parameters" in lines
    assert "matched by attention MACs (published): by-published" in lines
    models = [resolved_model(sweep, variant) for variant in variants]
    assert [m.matched_convention for m in models[2:]] == list(CONVENTIONS)
    for model in models[2:]:
        own = model.model.attention.d_head
        assert model.sizes_by_convention[model.matched_convention] == own


def test_equal_architectures_keep_their_own_rules(sweep: Sweep) -> None:
    """Two rules may give one model; it is trained once, and each row names its own rule."""
    variants = {variant.name: variant for variant in declared_variants(sweep)}
    equations, executed = variants["by-equations"], variants["by-executed"]
    assert equations.model == executed.model
    models = [resolved_model(sweep, variant) for variant in (equations, executed)]
    record = SweepRecord(sweep=sweep, models=models, started_at=0.0, updated_at=0.0)
    for variant in (equations, executed):
        found = record.resolved(variant.model, variant.name)
        assert found.matched_convention == variant.rule.convention


def test_a_sweep_without_own_rules_says_nothing_of_them() -> None:
    plain = find_sweep(SWEEPS, "matched-macs").resolve("pocket")
    assert (plain.matching, plain.convention) == ("mac_matched", "executed")
    rows = match_rows(plain, declared_variants(plain)[:1])
    assert not [line for line in match_lines(rows) if line.startswith("matched by")]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"match_by": "macs"}, "models.0.*match_by"),
        (
            {"kind": "grouped_query", "n_kv_heads": 1, "match_by": "macs:published"},
            'models: "one": match_by: convention="published" has no formula for grouped_query',
        ),
    ],
)
def test_impossible_rules_are_rejected(sweep: Sweep, model: dict, message: str) -> None:
    tree = sweep.model_dump(mode="json")
    switchhead = {"kind": "switchhead", "n_heads": 2, "n_experts": 4, "top_k": 2}
    declared = {"kind": "switchhead", **switchhead, **model, "name": "one"}
    if model.get("kind") == "grouped_query":
        declared = {"n_heads": 2, **model, "name": "one"}
    with pytest.raises(ConfigError, match=message):
        parse(Sweep, {**tree, "models": [declared]}, "mine.toml")
