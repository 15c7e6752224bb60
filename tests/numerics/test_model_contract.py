"""Every registered variant keeps every promise of the contract, on each of its examples."""

import pytest
from variant_cases import EXAMPLES

from switchhead_lab.contract.checks import CHECKS
from switchhead_lab.variants.contract import POSITIONS, Check
from switchhead_lab.variants.positions import Positions

CASES = [
    pytest.param(
        example,
        positions,
        # Positions do not reach feed-forward blocks.
        marks=[pytest.mark.thorough] * (variant.block == "feedforward" and number > 0),
        id=f"{positions.kind}-{example}",
    )
    for example, variant in EXAMPLES.items()
    for number, positions in enumerate(POSITIONS)
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("example", "positions"), CASES)
def test_promise_is_kept(example: str, positions: Positions, check: Check) -> None:
    check(EXAMPLES[example], positions)
