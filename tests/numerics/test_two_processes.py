"""Equal seeds give equal bits in another process."""

import pytest
from variant_cases import CASES, config_of, digest_of, digests_elsewhere

from switchhead_lab.contract.parameters import step_bits


def digest(case: str) -> str:
    return digest_of(step_bits(config_of(case, p_dropout=0.2)))


@pytest.mark.thorough
def test_equal_seeds_give_equal_bits_in_two_processes() -> None:
    assert digests_elsewhere("test_two_processes") == [digest(case) for case in CASES]
