"""The largest scores of rows against a sort, with and without the CPU kernels."""

import pytest
import torch
from comparison import randn

from switchhead_kernels.top_k import largest_indices

pytestmark = pytest.mark.usefixtures("by_kernels")


@pytest.mark.parametrize("k", [1, 2, 5])
def test_largest_indices_with_ties_to_the_lower_index(k: int) -> None:
    scores = torch.randint(0, 3, (40, 2, 5), generator=torch.Generator().manual_seed(0)).float()
    scores[0, 0] = float("-inf")
    expected = [
        sorted(range(5), key=lambda e: (-row[e], e))[:k] for row in scores.flatten(0, 1).tolist()
    ]
    for given in (scores, scores.double()):
        found = largest_indices(given, k)
        assert found.dtype == torch.int64
        assert found.flatten(0, 1).tolist() == expected


@pytest.mark.parametrize("n_experts", [1, 3, 8, 9, 32, 33, 128, 129])
def test_largest_indices_of_any_number_of_experts(n_experts: int) -> None:
    scores = randn(50, n_experts, dtype=torch.float32)
    odd = torch.tensor([float("inf"), -float("inf"), 0.0, -0.0, float("nan"), -float("nan"), 1e-40])
    place = torch.randint(len(odd), (50, n_experts), generator=torch.Generator().manual_seed(2))
    scores[25:] = odd[place[25:]]
    k = min(n_experts, 5)
    expected = scores.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(largest_indices(scores, k), expected)
