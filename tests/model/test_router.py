import torch

from switchhead_lab.model.router import Router, RoutingDecision, weigh


def router(**options) -> Router:
    made = Router(d_model=8, n_heads=2, n_experts=5, top_k=2, **options)
    made.reset_parameters(1.0, torch.Generator().manual_seed(0))
    return made


def rows(n: int = 6) -> torch.Tensor:
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(1))


def test_largest_scores_are_chosen_largest_first() -> None:
    choice = router()(rows()).choice
    expected = choice.logits_NHE.topk(2, dim=-1).indices
    assert torch.equal(choice.index_NHK, expected)


def test_sigmoid_weights_do_not_compete_and_softmax_weights_add_to_one() -> None:
    chosen = torch.tensor([[[2.0, -1.0]]])
    torch.testing.assert_close(weigh(chosen, "sigmoid"), torch.sigmoid(chosen))
    torch.testing.assert_close(weigh(chosen, "softmax").sum(), torch.tensor(1.0))


def test_routing_stays_float32_under_autocast() -> None:
    exact = router()(rows()).choice
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = router()(rows()).choice
    assert under_autocast.weight_NHK.dtype == torch.float32
    assert torch.equal(under_autocast.weight_NHK, exact.weight_NHK)


def test_rounded_rows_are_routed_in_float32() -> None:
    rounded = rows().bfloat16()
    assert torch.equal(
        router()(rounded).choice.logits_NHE, router()(rounded.float()).choice.logits_NHE
    )


def test_logits_have_the_precision_of_float32() -> None:
    made, x = router(), rows(100)
    exact = x.double() @ made.weight.double().T
    found = made(x).choice.logits_NHE.flatten(1).double()
    assert (found - exact).norm() / exact.norm() < 1e-6  # bfloat16 rows give about 2e-3


def test_gradient_reaches_only_the_chosen() -> None:
    made = router()
    choice = made(rows(1)).choice
    choice.weight_NHK.sum().backward()
    assert made.weight.grad is not None
    touched = made.weight.grad.view(2, 5, 8).abs().sum(-1) > 0
    expected = torch.zeros(2, 5, dtype=torch.bool).scatter(1, choice.index_NHK[0], True)
    assert torch.equal(touched, expected)


def test_expert_dropout_drops_experts_in_training_only() -> None:
    made = router(p_dropout=0.5)
    plain = made.eval()(rows(400)).choice
    assert torch.equal(plain.index_NHK, router()(rows(400)).choice.index_NHK)
    torch.manual_seed(0)
    dropped = made.train()(rows(400)).choice
    changed = (dropped.index_NHK != plain.index_NHK).any(dim=-1).float().mean()
    assert 0.5 < changed < 0.95
    assert torch.equal(dropped.logits_NHE, plain.logits_NHE)


def test_with_every_expert_dropped_weights_are_zero_and_not_nan() -> None:
    for gate in ("sigmoid", "softmax"):
        made = router(p_dropout=0.999, gate=gate).train()
        torch.manual_seed(0)
        weights = made(rows(50)).choice.weight_NHK
        assert not weights.isnan().any()
        assert (weights == 0).float().mean() > 0.9


def test_last_positions_are_those_of_each_sequence() -> None:
    numbers = torch.arange(2 * 5).view(10, 1, 1)
    choice = RoutingDecision(numbers, numbers.float(), numbers.float())
    assert choice.last_positions(2, 2).index_NHK.flatten().tolist() == [3, 4, 8, 9]
