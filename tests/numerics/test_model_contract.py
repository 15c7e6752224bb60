"""Every registered variant keeps every promise of the contract, on each of its examples."""

import pytest
from variant_cases import EXAMPLES

from switchhead_lab.contract.checks import CHECKS
from switchhead_lab.variants.contract import POSITIONS, Check
from switchhead_lab.variants.positions import Positions


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("positions", POSITIONS, ids=lambda positions: positions.kind)
@pytest.mark.parametrize("example", EXAMPLES)
def test_promise_is_kept(example: str, positions: Positions, check: Check) -> None:
    check(EXAMPLES[example], positions)
