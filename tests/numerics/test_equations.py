"""Every attention and feed-forward layer against per-token loops in float64, from the equations.

Letters: B batch, T query positions, S key positions (memory + chunk), D d_model, H heads,
P d_head, E experts.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from equation_loops import (
    Example,
    causal,
    exact_table,
    loop_dense,
    loop_moa,
    loop_sigma_moe,
    loop_switchhead,
    unpadded,
)
from layer_plans import plan_of
from torch import Tensor, nn

from switchhead_lab.config.architecture import AttentionConfig
from switchhead_lab.model.router import Router
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

D, T, S = 10, 7, 13  # odd sizes; S - T positions of memory

SWITCHHEAD = {"n_heads": 2, "d_head": 5, "n_experts": 4, "top_k": 2}
SUBSETS = ["o", "ko", "vko", "vqo", "v", "qo", "vq", "vkqo", "kqo", "vkq", "vk", "q", "k", "kq"]
ATTENTION: dict[str, AttentionConfig] = {
    "dense": DenseAttention(n_heads=3, d_head=5),
    "switchhead": SwitchHeadAttention(**SWITCHHEAD),
    "top-1": SwitchHeadAttention(**{**SWITCHHEAD, "top_k": 1}),
    "all-experts": SwitchHeadAttention(n_heads=2, d_head=3, n_experts=3, top_k=3),
    "one-expert": SwitchHeadAttention(n_heads=1, d_head=4, n_experts=1, top_k=1),
    "shared": SwitchHeadAttention(**SWITCHHEAD, shared_selection=True),
    "softmax": SwitchHeadAttention(**SWITCHHEAD, gate="softmax"),
    "moa": MoaAttention(n_heads=2, d_head=5, n_experts=4),
    "moa-sigmoid": MoaAttention(n_heads=3, d_head=4, n_experts=3, gate="sigmoid"),
    **{
        f"experts-{subset}": SwitchHeadAttention(**SWITCHHEAD, expert_projections=list(subset))
        for subset in SUBSETS
    },
}
# One case per code path; subsets of projections are covered at the small sizes above.
KINDS = ["dense", "switchhead", "all-experts", "shared", "experts-vkqo", "moa"]
POSITIONS = {"xl": TransformerXLPositions(), "rope": RopePositions()}


def randomise(layer: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)


def random_layer(
    config: AttentionConfig, positions: str, d_model: int, generator: torch.Generator
) -> nn.Module:
    layer = config.build(POSITIONS[positions], d_model).double()
    randomise(layer, generator)
    return layer


def random_context(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)


def exactly(plan: SequencePlan, config: AttentionConfig, positions: str, d_model: int):
    """Check the plan's float32 table and return the plan with a float64 table.

    Layer and loop then differ only by float64 arithmetic.
    """
    width = d_model if positions == "xl" else config.d_head
    table = exact_table(POSITIONS[positions], plan, width)
    # Angles are up to S radians, rounded to 24 bits, so the error grows with S.
    torch.testing.assert_close(plan.table, table, rtol=0, atol=2**-22 * plan.n_keys)
    return replace(plan, table=table)


def loop(layer: nn.Module, config: AttentionConfig, examples: Sequence[Example]) -> Tensor:
    loops = {"dense": loop_dense, "switchhead": loop_switchhead, "moa": loop_moa}
    return torch.stack([loops[config.kind](layer, example) for example in examples])


def compare(ours: Tensor, theirs: Tensor, inputs: list[Tensor], generator) -> list[Tensor]:
    """Compare outputs and the gradients of all inputs; return the latter."""
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    grad_out = torch.randn(ours.shape, dtype=torch.float64, generator=generator)
    our_grads = torch.autograd.grad(ours, inputs, grad_out)
    their_grads = torch.autograd.grad(theirs, inputs, grad_out, materialize_grads=True)
    for ours_g, theirs_g in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(ours_g, theirs_g, rtol=1e-10, atol=1e-10)
    return list(our_grads)


def check_attention(
    config: AttentionConfig, positions: str, *, d_model: int, n_queries: int, n_keys: int
) -> None:
    generator = torch.Generator().manual_seed(3)
    layer = random_layer(config, positions, d_model, generator)
    context = random_context(2, n_keys, d_model, generator=generator)
    plan = plan_of(n_queries, n_keys, d_model, config, POSITIONS[positions], dtype=torch.float64)
    ours = layer(context, exactly(plan, config, positions, d_model)).output_BTD
    seen = causal(n_queries, n_keys)
    theirs = loop(layer, config, [Example(x, seen) for x in context])
    compare(ours, theirs, [context, *layer.parameters()], generator)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("case", ATTENTION)
def test_attention_equals_the_loop(case: str, positions: str) -> None:
    check_attention(ATTENTION[case], positions, d_model=D, n_queries=T, n_keys=S)


@pytest.mark.parametrize(
    "d_head", [41, *(pytest.param(one, marks=pytest.mark.thorough) for one in (76, 100))]
)
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("case", KINDS)
def test_attention_equals_the_loop_at_the_papers_widths(
    case: str, positions: str, d_head: int
) -> None:
    """Neither these widths nor the lengths are multiples of 16."""
    config = ATTENTION[case].model_copy(update={"d_head": d_head})
    check_attention(config, positions, d_model=14, n_queries=63, n_keys=95)


@pytest.mark.parametrize("is_padded", [True, False], ids=["padded", "full"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("case", KINDS)
def test_attention_in_both_directions_equals_the_loop(
    case: str, positions: str, is_padded: bool
) -> None:
    """Every query sees every key except padding, at any position."""
    generator = torch.Generator().manual_seed(3)
    config = ATTENTION[case]
    layer = random_layer(config, positions, D, generator)
    context = random_context(3, T, D, generator=generator)
    is_token_BT = torch.ones(3, T, dtype=torch.bool)
    if is_padded:
        is_token_BT[1, 4:] = False
        is_token_BT[2, [0, 3, 6]] = False
    plan = plan_of(
        T,
        T,
        D,
        config,
        POSITIONS[positions],
        dtype=torch.float64,
        direction="bidirectional",
        is_token_BT=is_token_BT if is_padded else None,
    )
    ours = layer(context, exactly(plan, config, positions, D)).output_BTD
    pairs = zip(context, is_token_BT, strict=True)
    theirs = loop(layer, config, [Example(x, unpadded(is_token)) for x, is_token in pairs])
    inputs = [context, *layer.parameters()]
    gradients = compare(ours[is_token_BT], theirs[is_token_BT], inputs, generator)
    assert not gradients[0][~is_token_BT].any()  # padding's content has no effect


def send_all_to(router: Router, experts: list[int]) -> None:
    """Make all tokens choose these experts of the first head, by the context's constant channel.

    The chosen scores are not scaled up: a saturated gate would have no gradient to compare.
    """
    with torch.no_grad():
        router.weight[: router.n_experts, 0] = -100.0
        router.weight[experts, 0] = 0.0


def assert_only_chosen_have_gradients(
    layer: nn.Module, gradients: Sequence[Tensor], chosen: list[int]
) -> None:
    """Check the first head's experts, in projections and routers."""
    n_experts = layer.config.n_experts if hasattr(layer, "config") else layer.router.n_experts
    n_checked = 0
    for (name, parameter), gradient in zip(layer.named_parameters(), gradients, strict=True):
        if parameter.ndim == 4:  # [H, E, ...]
            by_expert = gradient[0]
        elif "router" in name:  # [H * E, D]
            by_expert = gradient[:n_experts]
        else:
            continue
        n_checked += 1
        has_gradient = [bool(one.any()) for one in by_expert]
        assert has_gradient == [e in chosen for e in range(n_experts)], name
    assert n_checked >= 3


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(
    "case", ["switchhead", "top-1", "shared", "softmax", "experts-vkqo", "moa"]
)
def test_a_head_whose_tokens_all_choose_the_same_experts(case: str, positions: str) -> None:
    generator = torch.Generator().manual_seed(3)
    config = ATTENTION[case]
    layer = random_layer(config, positions, D, generator)
    experts = [2] if case == "top-1" else [1, 3]
    routers = [module for module in layer.children() if isinstance(module, Router)]
    for router in routers:
        send_all_to(router, experts)
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator)
    context[..., 0] = 1.0
    context.requires_grad_()
    plan = plan_of(T, S, D, config, POSITIONS[positions], dtype=torch.float64)
    output = layer(context, exactly(plan, config, positions, D))
    assert len(output.choices) == len(routers)
    for choice in output.choices.values():
        assert choice.index_NHK[:, 0].unique().tolist() == experts
        if choice.index_NHK.shape[1] > 1:  # MoA's router has a single head
            assert choice.index_NHK[:, 1].unique().tolist() == list(range(config.n_experts))
    theirs = loop(layer, config, [Example(x, causal(T, S)) for x in context])
    inputs = [context, *layer.parameters()]
    gradients = compare(output.output_BTD, theirs, inputs, generator)
    assert_only_chosen_have_gradients(layer, gradients[1:], experts)


@pytest.mark.parametrize(("length", "d_expert"), [(T, 5), (63, 41)])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_sigma_moe_equals_the_loop(top_k: int, length: int, d_expert: int) -> None:
    generator = torch.Generator().manual_seed(3)
    variant = SigmaMoeFeedForward(n_experts=4, d_expert=d_expert, top_k=top_k)
    block = variant.build(D).double()
    randomise(block, generator)
    x = random_context(2, length, D, generator=generator)
    theirs = torch.stack([loop_sigma_moe(block, sequence) for sequence in x])
    ours = block(x, plan_of(length, length, D)).output_BTD
    compare(ours, theirs, [x, *block.parameters()], generator)


def test_sigma_moe_whose_tokens_all_choose_the_same_experts() -> None:
    generator = torch.Generator().manual_seed(3)
    block = SigmaMoeFeedForward(n_experts=4, d_expert=5, top_k=2).build(D).double()
    randomise(block, generator)
    send_all_to(block.router, [1, 3])
    x = torch.randn(2, T, D, dtype=torch.float64, generator=generator)
    x[..., 0] = 1.0
    x.requires_grad_()
    output = block(x, plan_of(T, T, D))
    assert output.choices["router"].index_NHK.unique().tolist() == [1, 3]
    theirs = torch.stack([loop_sigma_moe(block, sequence) for sequence in x])
    gradients = compare(output.output_BTD, theirs, [x, *block.parameters()], generator)
    assert_only_chosen_have_gradients(block, gradients[1:], [1, 3])


@pytest.mark.parametrize("positions", POSITIONS)
def test_equal_to_dense_for_one_expert_with_gate_one(positions: str) -> None:
    """E = K = 1 with a saturated gate and no learned score terms is dense attention."""
    H, P = 3, 4
    generator = torch.Generator().manual_seed(0)
    encoding = POSITIONS[positions]
    dense = DenseAttention(n_heads=H, d_head=P).build(encoding, D).double()
    dense.reset_parameters(1.0, generator)
    config = SwitchHeadAttention(n_heads=H, d_head=P, n_experts=1, top_k=1)
    sparse = config.build(encoding, D).double()
    context = torch.randn(2, S, D, dtype=torch.float64, generator=generator)
    context[..., 0] = 1.0
    with torch.no_grad():
        for name in ("query_weight", "key_weight"):
            getattr(sparse, name).copy_(getattr(dense, name))
        if positions == "xl":
            sparse.positions.weight.copy_(dense.positions.weight)
        sparse.value_weight.copy_(dense.value_weight.view(H, 1, P, D).transpose(2, 3))
        sparse.output_weight.copy_(dense.output_weight.T.view(H, 1, P, D))
        for router in (sparse.value_router, sparse.output_router):
            router.weight.zero_()
            router.weight[:, 0] = 1e3  # times the constant channel: sigmoid is exactly 1
    plan = plan_of(T, S, D, config, encoding, dtype=torch.float64)
    torch.testing.assert_close(
        sparse(context, plan).output_BTD, dense(context, plan).output_BTD, rtol=1e-12, atol=1e-12
    )
