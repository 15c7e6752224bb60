"""The definition of the sum by position, in PyTorch operators."""

from collections.abc import Sequence

from torch import Tensor


def add_by_position(given: Sequence[Tensor], total_BSD: Tensor) -> Tensor:
    """Write into `total_BSD` the sum of tensors of all positions or of the last ones; return it."""
    total_BSD.zero_()
    for part in given:
        total_BSD[:, -part.shape[1] :] += part
    return total_BSD
