import torch

from switchhead_lab.model.router import SigmoidRouter, select_experts


def test_largest_scores_are_chosen_with_their_own_weight() -> None:
    scores = torch.tensor([[[0.1, 0.9, 0.5], [0.8, 0.2, 0.3]]])
    choice = select_experts(scores, 2)
    assert choice.index_NHK.tolist() == [[[1, 2], [0, 2]]]
    torch.testing.assert_close(choice.weight_NHK, torch.tensor([[[0.9, 0.5], [0.8, 0.3]]]))


def test_ties_go_to_the_lower_index() -> None:
    choice = select_experts(torch.full((5, 1, 40), 0.5), 3)
    assert choice.index_NHK.tolist() == [[[0, 1, 2]]] * 5


def test_routing_stays_float32_under_autocast() -> None:
    router = SigmoidRouter(d_model=8, n_heads=2, n_experts=3, top_k=2)
    router.reset_parameters(1.0, torch.Generator().manual_seed(0))
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    exact = router(x)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = router(x)
    assert under_autocast.weight_NHK.dtype == torch.float32
    assert torch.equal(under_autocast.weight_NHK, exact.weight_NHK)


def test_gradient_reaches_only_the_chosen_scores() -> None:
    scores = torch.tensor([[[0.1, 0.9, 0.5]]], requires_grad=True)
    select_experts(scores, 2).weight_NHK.sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[[0.0, 1.0, 1.0]]]
