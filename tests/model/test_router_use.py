import pytest
import torch

from switchhead_lab.model.router import RoutingDecision
from switchhead_lab.model.router_use import NO_USE, count_use, use_entropy


def choice(picks) -> RoutingDecision:
    index_NHK = torch.tensor(picks)
    N, H, _ = index_NHK.shape
    return RoutingDecision(index_NHK, torch.ones(index_NHK.shape), torch.zeros(N, H, 4))


# One sequence of 1 memory and 2 chunk positions, one head, 2 of 4 experts.
CHOICES = {
    "blocks.0.attention.value_router": choice([[[3, 2]], [[0, 1]], [[0, 2]]]),
    "blocks.0.attention.output_router": choice([[[1, 2]], [[0, 1]]]),
    "blocks.0.feedforward.router": choice([[[0, 1]], [[0, 1]]]),
}


def test_choices_are_counted_by_router() -> None:
    use = count_use(CHOICES, batch_size=1)
    assert use.counts_HE["blocks.0.attention.value_router"].tolist() == [[2, 1, 2, 1]]
    assert use.counts_HE["blocks.0.attention.output_router"].tolist() == [[1, 2, 1, 0]]
    assert use.n_tokens["blocks.0.attention.value_router"] == 3


def test_value_and_output_experts_of_one_token_are_counted_together() -> None:
    pairs = count_use(CHOICES, batch_size=1).together_HEE
    assert list(pairs) == ["blocks.0.attention"]
    expected = torch.zeros(4, 4, dtype=torch.int64)
    for value_experts, output_experts in (((0, 1), (1, 2)), ((0, 2), (0, 1))):
        for v in value_experts:
            for o in output_experts:
                expected[v, o] += 1
    assert torch.equal(pairs["blocks.0.attention"][0], expected)


def test_counts_add_up() -> None:
    once = count_use(CHOICES, batch_size=1)
    twice = NO_USE.plus(once).plus(once)
    for router, counts in once.counts_HE.items():
        assert torch.equal(twice.counts_HE[router], 2 * counts)
        assert twice.n_tokens[router] == 2 * once.n_tokens[router]


def test_metrics_are_means_by_kind_of_router() -> None:
    metrics = count_use(CHOICES, batch_size=1).metrics()
    assert metrics["router/attention.output_router/dead_experts"] == pytest.approx(0.25)
    assert metrics["router/feedforward.router/dead_experts"] == pytest.approx(0.5)
    assert metrics["router/feedforward.router/use_entropy"] == pytest.approx(0.5)
    assert NO_USE.metrics() == {}


@pytest.mark.parametrize(
    ("counts", "entropy"), [([5, 5], 1.0), ([7, 0], 0.0), ([3], 1.0), ([0, 0], 0.0)]
)
def test_entropy_of_use(counts: list[int], entropy: float) -> None:
    assert use_entropy(torch.tensor(counts)) == pytest.approx(entropy)
