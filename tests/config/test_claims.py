"""Claims as declared: defaults, and one clear error for each impossible claim."""

import re
from typing import Any

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.config.claimed import SplitQuantity
from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError
from switchhead_lab.tracking.sweep_record import sweep_id

CLAIM = {"model": "two-heads", "quality": {"margin": 0.01}}


def sweep_with(*claims: dict[str, Any]) -> Sweep:
    return parse(Sweep, {**DECLARATION, "claims": list(claims)}, "test")


def test_defaults() -> None:
    (claim,) = sweep_with(CLAIM).stated_claims
    assert (claim.title, claim.versus, claim.alpha) == ("two-heads-vs-dense", "dense", 0.05)
    assert claim.quality is not None
    assert claim.quality.kind == "equivalent"
    found = sweep_with().quantity_of(claim.quality)
    assert isinstance(found, SplitQuantity)
    assert (found.split, found.metric.name) == ("validation", "perplexity")


def test_costs_have_full_names_and_time_is_apart() -> None:
    cost = {"macs": 0.7, "model-macs:executed": 0.9, "time": 1.0}
    (claim,) = sweep_with({"model": "two-heads", "cost": cost}).stated_claims
    assert claim.counted_costs == {"attention-macs": 0.7, "model-macs:executed": 0.9}


def test_the_loss_of_the_test_split_may_be_claimed() -> None:
    quality = {"margin": 0.01, "metric": "test/loss", "kind": "not_worse"}
    (claim,) = sweep_with({**CLAIM, "quality": quality}).stated_claims
    assert claim.quality is not None
    found = sweep_with().quantity_of(claim.quality)
    assert isinstance(found, SplitQuantity)
    assert (found.split, found.metric.name) == ("test", "loss_nats")


def test_stating_a_claim_continues_the_same_sweep() -> None:
    assert sweep_id(sweep_with(CLAIM)) == sweep_id(parse(Sweep, DECLARATION, "test"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "two-head"}, 'model = "two-head" (did you mean "two-heads"?): no such model'),
        ({"versus": "two-heads"}, '"two-heads" is compared with itself'),
        ({"quality": None}, "a claim needs a quality, a cost, or both"),
        ({"quality": {"kind": "not_worse"}}, r'quality.kind = "not_worse" needs a margin above 0'),
        ({"quality": {"margin": -0.1}}, "margin"),
        (
            {"quality": {"margin": 0.1, "metric": "test/los"}},
            '"test/los" (did you mean "test/loss"?)',
        ),
        ({"cost": {"mac": 0.7}}, 'cost "mac": use attention-macs'),
        ({"cost": {"parameters:executed": 0.7}}, "the same by every convention"),
        ({"cost": {"model-macs:printed": 0.7}}, "conventions: equations, published, executed"),
        ({"cost": {"time": 0.0}}, "write a ratio above 0"),
        ({"max_seeds": 1}, "max_seeds"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_impossible_claims_are_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        sweep_with({**CLAIM, **change})


def test_claims_of_a_sweep_have_one_alpha_and_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="alpha differs"):
        sweep_with(CLAIM, {**CLAIM, "name": "other", "alpha": 0.01})
    with pytest.raises(ConfigError, match='two are named "two-heads-vs-dense"'):
        sweep_with(CLAIM, CLAIM)
