"""What every variant of the language model promises."""

import hashlib
import re
import subprocess
import sys
from collections import Counter

import pytest
import torch
from layer_plans import plan_of

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.model.sequence_plan import SequencePlan
from switchhead_lab.model.transformer import build_model
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

V, T, B = 19, 9, 3

DENSE_FF = DenseFeedForward(d_ff=17)
SIGMA_MOE = SigmaMoeFeedForward(n_experts=4, d_expert=5, top_k=2, entropy_coefficient=0.1)
SWITCHHEAD = {"n_heads": 2, "d_head": 5, "n_experts": 4, "top_k": 2}
VARIANTS = {
    "dense": (DenseAttention(n_heads=4, d_head=3), DENSE_FF),
    "switchhead": (SwitchHeadAttention(**SWITCHHEAD), DENSE_FF),
    "switchhead-all-experts": (
        SwitchHeadAttention(n_heads=1, d_head=4, n_experts=3, top_k=3),
        DENSE_FF,
    ),
    "switchhead-vkqo-shared": (
        SwitchHeadAttention(
            **SWITCHHEAD, expert_projections=["v", "k", "q", "o"], shared_selection=True
        ),
        DENSE_FF,
    ),
    "switchhead-q-softmax": (
        SwitchHeadAttention(**SWITCHHEAD, expert_projections=["q"], gate="softmax"),
        DENSE_FF,
    ),
    "moa": (
        MoaAttention(
            n_heads=2,
            n_experts=4,
            d_head=5,
            cv_coefficient=0.1,
            switch_coefficient=0.1,
            z_coefficient=0.1,
        ),
        DENSE_FF,
    ),
    "moa-sigmoid": (MoaAttention(n_heads=2, n_experts=4, d_head=5, gate="sigmoid"), DENSE_FF),
    "switchall": (SwitchHeadAttention(**SWITCHHEAD), SIGMA_MOE),
    "dense-sigma-moe": (DenseAttention(n_heads=4, d_head=3), SIGMA_MOE),
}
POSITIONS = {"xl": TransformerXLPositions(), "rope": RopePositions()}
CASES = [f"{variant}/{positions}" for variant in VARIANTS for positions in POSITIONS]


def config_of(case: str, *, context_multiple: int = 2, p_dropout: float = 0.0) -> ModelConfig:
    variant, _, positions = case.partition("/")
    attention, feedforward = VARIANTS[variant]
    if p_dropout and isinstance(feedforward, DenseFeedForward):
        feedforward = feedforward.model_copy(update={"p_dropout": p_dropout})
    if p_dropout and isinstance(feedforward, SigmaMoeFeedForward):
        feedforward = feedforward.model_copy(update={"p_expert_dropout": p_dropout})
    return ModelConfig(
        d_model=12,
        n_layers=2,
        seq_len=T,
        context_multiple=context_multiple,
        positions=POSITIONS[positions],
        attention=attention,
        feedforward=feedforward,
    )


def tokens(seed: int = 0, length: int = T) -> torch.Tensor:
    return torch.randint(0, V, (B, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=CASES)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


def test_shape_and_dtype(variant: str) -> None:
    output = build_model(config_of(variant), V, 0)(tokens())
    assert output.logits_BTV.shape == (B, T, V)
    assert output.logits_BTV.dtype == torch.float32
    assert [m.shape for m in output.memory] == [(B, T, 12)] * 2
    assert not any(m.requires_grad for m in output.memory)


@pytest.mark.parametrize("context_multiple", [1, 2, 3])
def test_causality_with_and_without_memory(variant: str, context_multiple: int) -> None:
    model = build_model(config_of(variant, context_multiple=context_multiple), V, 0).double()
    memory = ()
    for seed in range(context_multiple):
        memory = model(tokens(seed), memory).memory
    before = tokens(9)
    for changed in range(T):
        after = before.clone()
        after[:, changed] = (after[:, changed] + 1) % V
        a = model(before, memory).logits_BTV
        b = model(after, memory).logits_BTV
        assert torch.equal(a[:, :changed], b[:, :changed])
        assert not torch.equal(a[:, changed], b[:, changed])


def test_memory_is_seen_and_is_the_chunk_before(variant: str) -> None:
    """Two chunks with memory give what one layer sees in one pass over both."""
    config = config_of(variant).model_copy(update={"n_layers": 1})
    model = build_model(config, V, 0).double()
    first, second = tokens(1), tokens(2)
    by_chunks = model(second, model(first).memory).logits_BTV
    at_once = model(torch.cat([first, second], dim=1)).logits_BTV[:, T:]
    torch.testing.assert_close(by_chunks, at_once, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(by_chunks, model(second).logits_BTV)


@pytest.mark.parametrize("context_multiple", [1, 3])
def test_memory_length_follows_the_context_multiple(variant: str, context_multiple: int) -> None:
    model = build_model(config_of(variant, context_multiple=context_multiple), V, 0)
    memory, lengths = (), []
    for seed in range(4):
        memory = model(tokens(seed), memory).memory
        lengths.append(memory[0].shape[1] if memory else 0)
    assert lengths == {1: [0, 0, 0, 0], 3: [9, 18, 18, 18]}[context_multiple]


def test_gradient_reaches_every_parameter_but_not_the_memory(variant: str) -> None:
    model = build_model(config_of(variant), V, 0)
    memory = tuple(m.requires_grad_() for m in model(tokens(1)).memory)
    output = model(tokens(2), memory)
    loss = output.logits_BTV.square().sum()
    if output.auxiliary_loss is not None:
        loss = loss + output.auxiliary_loss
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    # The caller's tensors may carry gradient; what the model hands on never does.
    assert not any(m.requires_grad for m in model(tokens(2), memory).memory)


def test_parameters_equal_the_closed_form(variant: str) -> None:
    config = config_of(variant)
    parts: Counter[str] = Counter()
    for name, parameter in build_model(config, V, 0).named_parameters():
        parts[re.sub(r"^blocks\.\d+\.", "blocks.", name)] += parameter.numel()
    assert dict(count_parameters(config, V).parts) == dict(parts)


def test_choices_are_returned_by_router(variant: str) -> None:
    model = build_model(config_of(variant), V, 0)
    choices = model(tokens(2), model(tokens(1)).memory).choices
    routers = {n.removesuffix(".weight") for n, _ in model.named_parameters() if "router" in n}
    assert set(choices) == routers
    for name, choice in choices.items():
        n_positions = 2 * T if "value_router" in name else T
        assert choice.index_NHK.shape[0] == B * n_positions
        assert choice.index_NHK.shape == choice.weight_NHK.shape
        assert choice.logits_NHE.shape[:2] == choice.index_NHK.shape[:2]


def test_train_and_eval_differ_only_by_dropout(variant: str) -> None:
    with_dropout = build_model(config_of(variant, p_dropout=0.5), V, 0)
    without = build_model(config_of(variant), V, 0)
    reference = without.eval()(tokens()).logits_BTV
    assert torch.equal(without.train()(tokens()).logits_BTV, reference)
    assert torch.equal(with_dropout.eval()(tokens()).logits_BTV, reference)
    assert not torch.equal(with_dropout.train()(tokens()).logits_BTV, reference)


def test_state_dict_round_trip(variant: str) -> None:
    model, other = (build_model(config_of(variant), V, seed) for seed in (0, 1))
    assert not torch.equal(model(tokens()).logits_BTV, other(tokens()).logits_BTV)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(tokens()).logits_BTV, other(tokens()).logits_BTV)


def test_bf16_layers_are_near_fp32_and_route_alike(variant: str) -> None:
    """Layer by layer: between layers a rounded hidden state may turn a near-tie of a router."""
    block = build_model(config_of(variant), V, 0).blocks[0]
    x = torch.randn(B, 2 * T, 12, generator=torch.Generator().manual_seed(0))
    config = config_of(variant)

    def plan(dtype: torch.dtype) -> SequencePlan:
        return plan_of(T, 2 * T, 12, config.attention, config.positions, dtype=dtype)

    for name in ("attention", "feedforward"):
        layer = getattr(block, name)
        exact = layer(x, plan(torch.float32))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = layer(x, plan(torch.bfloat16))
        error = (rounded.output_BTD.float() - exact.output_BTD).norm() / exact.output_BTD.norm()
        assert error < 0.02, name
        for router, choice in exact.choices.items():
            assert torch.equal(choice.index_NHK, rounded.choices[router].index_NHK), router


def digest(variant: str) -> str:
    model = build_model(config_of(variant, p_dropout=0.2), V, 5)
    torch.manual_seed(1)
    logits = model(tokens()).logits_BTV
    logits.sum().backward()
    values = [logits, *(p.grad for p in model.parameters())]
    return hashlib.sha256(b"".join(v.detach().numpy().tobytes() for v in values)).hexdigest()


def test_equal_seeds_give_equal_bits_in_one_and_two_processes() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_model_contract as t; "
        "print(*(t.digest(v) for v in t.CASES))"
    )
    folder = __file__.rpartition("/")[0]
    command = [sys.executable, "-W", "ignore", "-c", program, folder]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    here = [digest(name) for name in CASES]
    assert [digest(name) for name in CASES] == here
    assert other == here


def test_checkpointed_activations_keep_less(variant: str) -> None:
    """Only what enters the blocks is kept, and nothing of what they compute."""
    kept = []
    for again in (False, True):
        model = build_model(config_of(variant), V, 0)
        model.checkpoint_activations = again
        storages = {}

        def pack(tensor: torch.Tensor, storages: dict = storages) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = model(tokens())
        kept.append(sum(storages.values()))
        assert output.hidden_BTD.requires_grad
    assert kept[1] < kept[0]
