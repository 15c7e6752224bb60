"""`match_over` in a sweep: the matched size, and declarations that are refused."""

from pathlib import Path
from typing import Any

import pytest
from shipped_sweeps import SHIPPED, SWEEPS

from switchhead_lab.budget.costs import attention_macs, feedforward_macs
from switchhead_lab.budget.matching import baseline_model, match_declared
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.sizes import find_size
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import ConfigError, MatchError
from switchhead_lab.sweeping.costing import find_counter
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward

MOE = {"kind": "sigma_moe", "n_experts": 16, "d_expert": 128, "top_k": 4}
HEADS = {"n_heads": 2, "n_experts": 5, "top_k": 2}
MATCHING = ["parameter_matched", "mac_matched"]


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def sweep_with(matching: str = "parameter_matched", **model: Any) -> Sweep:
    """Return the paper's small baseline with one declared model."""
    tree = find_sweep(SWEEPS, "paper/table2-wikitext103").resolve("small").model_dump()
    model = {"kind": "switchhead", "name": "model", **model}
    changes = {"matching": matching, "models": [model], "claims": []}
    return parse(Sweep, {**tree, **changes}, "sweep.toml")


def matched(matching: str = "parameter_matched", **model: Any) -> tuple[ModelConfig, ModelConfig]:
    """Return the baseline and the model, which must be buildable."""
    sweep = sweep_with(matching, **model)
    found = match_declared(sweep, sweep.models[0], find_counter(sweep.convention))
    assert ModelConfig.model_validate(found.model_dump()) == found
    return baseline_model(sweep), found


def total(model: ModelConfig) -> int:
    return count_parameters(model, 8000).total


def layer_macs(model: ModelConfig) -> int:
    return attention_macs(model, "published") + feedforward_macs(model, "published")


ATTENTION_CASES = [
    ("d_head", {**HEADS}, 76),
    ("n_experts", {"n_heads": 2, "top_k": 2, "d_head": 76}, 5),
    ("n_heads", {"n_experts": 5, "top_k": 2, "d_head": 36}, 4),
    ("n_experts", {"kind": "moa", "n_heads": 4, "d_head": 88}, 10),
    ("d_head", {"kind": "moa", "n_heads": 4, "n_experts": 10}, 88),
    ("n_heads", {"kind": "dense", "d_head": 41}, 10),
    ("n_heads", {"kind": "dense", "d_head": 100}, 4),
    ("d_head", {"kind": "dense", "n_heads": 2}, 205),
]


@pytest.mark.parametrize(("free", "model", "value"), ATTENTION_CASES)
def test_attention_meets_its_budget_and_d_ff_takes_the_rest(free, model, value) -> None:
    baseline, found = matched(match_over=free, **model)
    assert getattr(found.attention, free) == value
    for name in without(model, "kind"):
        assert getattr(found.attention, name) == model[name]
    left = total(baseline) - total(found)
    assert 0 <= left < 16 * (2 * 412 + 1)
    assert found.feedforward.d_ff >= baseline.feedforward.d_ff


@pytest.mark.parametrize(
    ("free", "model"),
    [
        case[:2]
        for case in ATTENTION_CASES
        if case[:2] != ("d_head", {"kind": "dense", "n_heads": 2})
    ]
    + [("n_heads", {"kind": "moa", "n_experts": 40, "d_head": 88})],
)
def test_mac_matching_keeps_the_feedforward(free, model) -> None:
    baseline, found = matched("mac_matched", match_over=free, **model)
    size = find_size(found, free)
    larger = size.at(found, size.value(found) + size.step(found))
    macs = [attention_macs(m, "published") for m in (found, baseline, larger)]
    assert macs[0] <= macs[1] < macs[2]
    assert found.feedforward == baseline.feedforward


def test_a_head_matched_model_keeps_parameters_in_a_mac_matched_sweep() -> None:
    _, found = matched("mac_matched", kind="dense", n_heads=3)
    assert found == matched(kind="dense", n_heads=3)[1]
    assert found.feedforward.d_ff > 2053


@pytest.mark.parametrize("matching", MATCHING)
@pytest.mark.parametrize("d_head", [{}, {"d_head": 40}], ids=["d_head follows", "d_head given"])
@pytest.mark.parametrize("attention", [{**HEADS}, {"kind": "dense", "n_heads": 4}], ids=str)
@pytest.mark.parametrize("free", ["d_expert", "feedforward.n_experts"])
def test_a_sigma_moe_is_matched_by_the_whole_layer(free, attention, d_head, matching) -> None:
    feedforward = without(MOE, free.removeprefix("feedforward."))
    baseline, found = matched(
        matching, match_over=free, feedforward=feedforward, **attention, **d_head
    )
    assert type(found.feedforward) is SigmaMoeFeedForward
    assert found.feedforward.model_dump().items() >= feedforward.items()
    size = find_size(found, free)
    larger = size.at(found, size.value(found) + 1)
    count = total if matching == "parameter_matched" else layer_macs
    assert count(found) <= count(baseline) < count(larger)
    _, alone = matched(matching, **attention)
    expected = d_head.get("d_head", alone.attention.d_head)
    assert found.attention == alone.attention.model_copy(update={"d_head": expected})


def test_the_papers_switchall_meets_the_baselines_parameters_over_d_expert() -> None:
    """The paper has d_expert 128 and up to 1.2 % fewer parameters."""
    baseline, found = matched(match_over="d_expert", feedforward=without(MOE, "d_expert"), **HEADS)
    assert found.attention.d_head == 76
    assert found.feedforward.d_expert == 129
    assert 0 <= total(baseline) - total(found) < 0.005 * total(baseline)


@pytest.mark.parametrize("matching", MATCHING)
@pytest.mark.parametrize("d_head", [40, 100])
def test_d_ff_alone_can_follow(d_head: int, matching: str) -> None:
    """Attention keeps its declared sizes, below or above the baseline's budget."""
    baseline, found = matched(matching, match_over="d_ff", d_head=d_head, **HEADS)
    assert found.attention.d_head == d_head
    larger = find_size(found, "d_ff").at(found, found.feedforward.d_ff + 1)
    count = total if matching == "parameter_matched" else layer_macs
    assert count(found) <= count(baseline) < count(larger)


def test_a_given_counter_replaces_the_sweeps_convention() -> None:
    sweep = sweep_with("mac_matched", n_heads=3, n_experts=5, top_k=3)
    (declared,) = sweep.models
    d_head = {
        name: match_declared(sweep, declared, find_counter(name)).attention.d_head
        for name in ("published", "equations", "executed")
    }
    assert (
        match_declared(sweep, declared, find_counter(sweep.convention)).attention.d_head
        == d_head["published"]
        == 112
    )
    # Position terms of the memory, and matmuls of experts that were not chosen.
    assert d_head["executed"] < d_head["equations"] < d_head["published"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {**HEADS, "d_head": 76},
            'd_head=76 but match_over="d_head": d_head follows from the budget; remove it, or '
            "name another size in match_over",
        ),
        (
            {**HEADS, "d_head": 76, "match_over": "n_experts"},
            'n_experts=5 but match_over="n_experts": n_experts follows',
        ),
        (
            {"n_heads": 2, "top_k": 2, "match_over": "n_experts"},
            'd_head is missing: with match_over="n_experts" only n_experts follows from the '
            "budget; add d_head",
        ),
        (
            {"n_heads": 2, "top_k": 2, "d_head": 76},
            'd_head=76 but match_over="d_head"',
        ),
        ({"n_heads": 2, "top_k": 2}, 'n_experts is missing: with match_over="d_head"'),
        ({**HEADS, "match_over": "d_ff"}, 'd_head is missing: with match_over="d_ff"'),
        (
            {**HEADS, "match_over": "d_ff", "d_head": 76, "feedforward": MOE},
            'match_over="d_ff" but the model has no d_ff: its attention is switchhead, its '
            "feed-forward sigma_moe; use n_heads, n_experts, d_head, feedforward.n_experts or "
            "d_expert",
        ),
        (
            {**HEADS, "match_over": "d_expert"},
            'match_over="d_expert" but the model has no d_expert',
        ),
        (
            {**HEADS, "match_over": "d_expert", "feedforward": MOE},
            'd_expert=128 but match_over="d_expert"',
        ),
        (
            {**HEADS, "feedforward": without(MOE, "n_experts")},
            'feedforward.n_experts is missing: with match_over="d_head"',
        ),
        ({**HEADS, "match_over": "d_model"}, 'match_over="d_model" but the model has no d_model'),
        (
            {"kind": "dense", "n_heads": 2, "match_over": "n_experts"},
            'match_over="n_experts" but the model has no n_experts: its attention is dense, its '
            "feed-forward dense; use n_heads, d_head or d_ff",
        ),
        (
            {"kind": "dense", "n_heads": 2, "n_experts": 4},
            'unknown key "models.0.n_experts" (model "model")',
        ),
        (
            {**HEADS, "top_k": 6},
            'models.0 (model "model"): top_k=6 but n_experts=5; use a top_k in 1..5',
        ),
        (
            {"kind": "moa", "n_heads": 9, "n_experts": 3},
            'models.0 (model "model"): n_heads=9 but n_experts=3; a',
        ),
        (
            {**HEADS, "feedforward": {**MOE, "top_k": 17}},
            'models.0.feedforward (model "model"): top_k=17 but n_experts=16; use a top_k in 1..16',
        ),
        ({**HEADS, "feedforward": {**MOE, "width": 3}}, 'unknown key "models.0.feedforward.width"'),
        ({"kind": "dense"}, 'n_heads is missing: with match_over="d_head"'),
        ({**HEADS, "n_heads": 0}, 'models.0.n_heads = 0 (model "model"): input should be greater'),
        ({**HEADS, "d_head": 0}, 'models.0.d_head = 0 (model "model"): input should be greater'),
        ({**HEADS, "top_k": 6}, "top_k=6 but n_experts=5; use a top_k in 1..5"),
        (
            {**HEADS, "feedforward": {**MOE, "top_k": 17}},
            "top_k=17 but n_experts=16; use a top_k in 1..16",
        ),
        ({"kind": "moa", "n_heads": 3, "n_experts": 2}, "a token can pick 1..2 heads"),
    ],
)
def test_an_invalid_declaration_is_refused_in_one_sentence(model, message) -> None:
    with pytest.raises(ConfigError) as raised:
        sweep_with(**model)
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_refusal_names_the_model_and_what_would_fit() -> None:
    sweep = sweep_with(match_over="n_experts", n_heads=2, top_k=4, d_head=200)
    with pytest.raises(MatchError) as raised:
        declared_variants(sweep)
    assert str(raised.value).startswith(
        f'sweep {sweep.name}, model "model": n_heads=2, top_k=4, d_head=200: even at n_experts=4 '
    )
    d_head = int(str(raised.value).rpartition("d_head up to ")[2].split()[0].rstrip(")"))
    matched(match_over="n_experts", n_heads=2, top_k=4, d_head=d_head)


@pytest.mark.parametrize(
    ("model", "dumped"),
    [
        ({"kind": "dense", "n_heads": 2}, {"kind": "dense", "n_heads": 2, "feedforward": None}),
        (
            {"kind": "moa", "n_heads": 2, "n_experts": 4},
            {
                "kind": "moa",
                "n_heads": 2,
                "n_experts": 4,
                "gate": "softmax",
                "cv_coefficient": 0.0,
                "switch_coefficient": 0.0,
                "z_coefficient": 0.0,
                "feedforward": None,
            },
        ),
        (
            {**HEADS, "kind": "switchhead", "feedforward": MOE},
            {
                **HEADS,
                "kind": "switchhead",
                "expert_projections": ["v", "o"],
                "shared_selection": False,
                "gate": "sigmoid",
                "p_expert_dropout": 0.0,
                "feedforward": {**MOE, "p_expert_dropout": 0.0, "entropy_coefficient": 0.0},
            },
        ),
    ],
    ids=["dense", "moa", "switchhead"],
)
def test_a_model_without_match_over_dumps_no_match_over(model, dumped) -> None:
    """So that the identities of sweeps without it do not change."""
    assert sweep_with(**model).models[0].model_dump(mode="json") == {
        "name": "model",
        "seeds": [0],
        **dumped,
    }


@pytest.mark.parametrize(
    "model",
    [
        {"match_over": "n_experts", "n_heads": 2, "top_k": 2, "d_head": 76},
        {**HEADS, "match_over": "d_expert", "feedforward": without(MOE, "d_expert")},
        {**HEADS, "match_over": "d_ff", "d_head": 76},
        {"kind": "dense", "match_over": "n_heads", "d_head": 41},
    ],
)
def test_a_recorded_sweep_reads_back(model) -> None:
    sweep = sweep_with(**model)
    assert Sweep.model_validate_json(sweep.model_dump_json()) == sweep
    assert sweep.models[0].model_dump()["match_over"] == model["match_over"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_omit_matched_sizes(path: Path) -> None:
    file = find_sweep(SWEEPS, str(path))
    for size in file.sizes:
        for model in file.resolve(size).models:
            declared = set(model.model_dump())
            assert "d_head" not in declared or "match_over" in declared, model.name
