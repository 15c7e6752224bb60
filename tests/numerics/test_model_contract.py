"""What every variant of the language model promises."""

import hashlib
import subprocess
import sys

import pytest
import torch

from switchhead_lab.config.schema import (
    DenseAttention,
    DenseFeedForward,
    ModelConfig,
    SwitchHeadAttention,
    TransformerXLPositions,
)
from switchhead_lab.model.transformer import build_model

V, T, B = 19, 9, 3

VARIANTS = {
    "dense": DenseAttention(n_heads=4, d_head=3),
    "switchhead": SwitchHeadAttention(n_heads=2, d_head=5, n_experts=4, top_k=2),
    "switchhead-all-experts": SwitchHeadAttention(n_heads=1, d_head=4, n_experts=3, top_k=3),
}


def config_of(variant: str, *, context_multiple: int = 2, p_dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(
        d_model=12,
        n_layers=2,
        seq_len=T,
        positions=TransformerXLPositions(context_multiple=context_multiple),
        attention=VARIANTS[variant],
        feedforward=DenseFeedForward(d_ff=17, p_dropout=p_dropout),
    )


def tokens(seed: int = 0, length: int = T) -> torch.Tensor:
    return torch.randint(0, V, (B, length), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=VARIANTS)
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
    model(tokens(2), memory).logits_BTV.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    # The caller's tensors may carry gradient; what the model hands on never does.
    assert not any(m.requires_grad for m in model(tokens(2), memory).memory)


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


def test_bf16_is_near_fp32(variant: str) -> None:
    """Routing is computed in float32, so bf16 products cannot change which experts are chosen."""
    model = build_model(config_of(variant), V, 0)
    exact = model(tokens()).logits_BTV
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(tokens()).logits_BTV.float()
    assert (rounded - exact).norm() / exact.norm() < 0.03


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
        "print(*(t.digest(v) for v in t.VARIANTS))"
    )
    folder = __file__.rpartition("/")[0]
    command = [sys.executable, "-W", "ignore", "-c", program, folder]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    here = [digest(name) for name in VARIANTS]
    assert [digest(name) for name in VARIANTS] == here
    assert other == here
