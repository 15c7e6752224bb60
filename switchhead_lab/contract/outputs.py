"""Contract of a layer's outputs: what they may depend on.

Letters: B batch, T chunk positions, V vocabulary.
"""

import torch

from switchhead_lab.contract.models import (
    LENGTHS,
    N_LAYERS,
    B,
    T,
    V,
    bidirectional_model,
    dropout_fields,
    model_around,
    padded_tokens,
    random_tokens,
    with_dropout,
)
from switchhead_lab.errors import ContractError
from switchhead_lab.model.sequence_plan import plan_sequences
from switchhead_lab.model.sublayer import SublayerOutput
from switchhead_lab.model.transformer import Memory, build_model
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import D_MODEL, require
from switchhead_lab.variants.positions import Positions

_P_DROPOUT = 0.5
_MAX_BF16_ERROR = 0.02


def output_has_the_shape_of_its_input(variant: Variant, positions: Positions) -> None:
    """Outputs have the inputs' shape and dtype; memory has the configured length, no gradient."""
    done = _layer_output(variant, positions, torch.float32).output_BTD
    require(
        done.shape == (B, T, D_MODEL) and done.dtype == torch.float32,
        f"outputs are {tuple(done.shape)} {done.dtype}, inputs {(B, T, D_MODEL)} {torch.float32}",
    )
    for context_multiple in (1, 2, 3):
        config = model_around(variant, positions, context_multiple=context_multiple)
        model, memory = build_model(config, V, 0), Memory()
        for seed in range(3):
            output = model(random_tokens(seed), memory)
            memory = output.memory
        length = (context_multiple - 1) * T
        expected = [(B, length, D_MODEL)] * (N_LAYERS if length else 0)
        require([m.shape for m in memory] == expected, "memory does not have the configured length")
        require(not any(m.requires_grad for m in memory), "memory requires gradient")


def no_token_sees_a_later_one(variant: Variant, positions: Positions) -> None:
    """Changing a token changes its prediction and none before it, with and without memory."""
    for context_multiple in (1, 2, 3):
        config = model_around(variant, positions, context_multiple=context_multiple)
        model, memory = build_model(config, V, 0).double(), Memory()
        for seed in range(context_multiple):
            memory = model(random_tokens(seed), memory).memory
        before = random_tokens(9)
        reference = model(before, memory).logits_BTV
        for changed in range(T):
            after = before.clone()
            after[:, changed] = after[:, changed] % (V - 1) + 1
            is_same_BT = (model(after, memory).logits_BTV == reference).all(dim=-1)
            require(
                bool(is_same_BT[:, :changed].all()),
                f"changing token {changed} changes predictions before it",
            )
            require(
                not bool(is_same_BT[:, changed].any()),
                f"changing token {changed} does not change its prediction",
            )


def memory_equals_a_longer_context(variant: Variant, positions: Positions) -> None:
    """A chunk with the previous one as memory has the outputs of one pass over both."""
    model = build_model(model_around(variant, positions, n_layers=1), V, 0).double()
    first, second = random_tokens(1), random_tokens(2)
    by_chunks = model(second, model(first).memory).logits_BTV
    at_once = model(torch.cat([first, second], dim=1)).logits_BTV[:, T:]
    require(
        torch.allclose(by_chunks, at_once, rtol=1e-9, atol=1e-9),
        "a chunk with memory differs from the end of one pass over both chunks by "
        f"{(by_chunks - at_once).abs().max().item():.2g}",
    )
    require(not torch.allclose(by_chunks, model(second).logits_BTV), "memory has no effect")


def bidirectional_tokens_see_all_but_padding(variant: Variant, positions: Positions) -> None:
    """Without a causal mask, every token sees its whole sequence and no padding."""
    model, before = bidirectional_model(variant, positions), padded_tokens()
    is_token_BT = before != 0
    reference = model(before, (), is_token_BT).logits_BTV
    for changed in range(T):
        after = before.clone()
        after[:, changed] = after[:, changed] % (V - 1) + 1
        is_same_BT = (model(after, (), is_token_BT).logits_BTV == reference).all(dim=-1)
        for is_same_T, length in zip(is_same_BT, LENGTHS, strict=True):
            if changed < length:
                require(not bool(is_same_T[:length].any()), f"some tokens do not see {changed}")
            else:
                require(bool(is_same_T[:length].all()), f"tokens see the padding at {changed}")


def padding_has_no_effect(variant: Variant, positions: Positions) -> None:
    """Padding changes no outputs, choices or auxiliary loss of a sequence."""
    model, padded = bidirectional_model(variant, positions), padded_tokens()
    length = LENGTHS[-1]
    is_token = padded[-1:] != 0
    alone, with_padding = model(padded[-1:, :length]), model(padded[-1:], (), is_token)
    require(
        torch.allclose(alone.logits_BTV, with_padding.logits_BTV[:, :length]),
        "padding changes the outputs of a sequence",
    )
    for name, choice in alone.choices.items():
        require(
            torch.equal(with_padding.choices[name].at_tokens(is_token).index_NHK, choice.index_NHK),
            f"padding changes the choices of {name}",
        )
    losses = [output.auxiliary_loss for output in (alone, with_padding)]
    if losses[0] is not None and losses[1] is not None:
        require(torch.allclose(losses[0], losses[1]), "the auxiliary loss includes padding")


def choices_of_all_routers_are_returned(variant: Variant, positions: Positions) -> None:
    """Every router's choices are returned under its name, one row per position it reads."""
    model = build_model(model_around(variant, positions), V, 0)
    choices = model(random_tokens(2), model(random_tokens(1)).memory).choices
    routers = {n.removesuffix(".weight") for n, _ in model.named_parameters() if "router" in n}
    require(set(choices) == routers, f"routers {sorted(routers)}, choices {sorted(choices)}")
    for name, choice in choices.items():
        rows, n_heads, n_chosen = choice.index_NHK.shape
        require(rows in (B * T, 2 * B * T), f"{name} has {rows} rows for {B * T} positions")
        require(
            choice.weight_NHK.shape == choice.index_NHK.shape,
            f"{name}: shapes of weights and choices differ",
        )
        require(
            choice.logits_NHE.shape[:2] == (rows, n_heads),
            f"{name}: shapes of logits and choices differ",
        )
        require(n_chosen <= choice.logits_NHE.shape[2], f"{name} chooses more experts than it has")


def training_differs_only_by_dropout(variant: Variant, positions: Positions) -> None:
    """Training and evaluation are bitwise equal without dropout, and differ with it."""
    tokens = random_tokens()
    without = with_dropout(variant, 0.0)
    plain = build_model(model_around(without, positions), V, 0)
    reference = plain.eval()(tokens).logits_BTV
    require(
        torch.equal(plain.train()(tokens).logits_BTV, reference),
        "training and evaluation differ without dropout",
    )
    for name in dropout_fields(variant):
        dropping = without.model_copy(update={name: _P_DROPOUT})
        model = build_model(model_around(dropping, positions), V, 0)
        require(
            torch.equal(model.eval()(tokens).logits_BTV, reference), f"{name} changes evaluation"
        )
        require(
            not torch.equal(model.train()(tokens).logits_BTV, reference), f"{name} has no effect"
        )


def bf16_is_close_to_fp32(variant: Variant, positions: Positions) -> None:
    """Outputs under bf16 autocast are close to those in fp32, and choices are equal."""
    # Only one layer: rounding between layers may flip a near-tie of a router.
    exact = _layer_output(variant, positions, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = _layer_output(variant, positions, torch.bfloat16)
    error = (rounded.output_BTD.float() - exact.output_BTD).norm() / exact.output_BTD.norm()
    require(
        error.item() < _MAX_BF16_ERROR,
        f"the output in bf16 is off by {error.item():.1%}; rounding allows {_MAX_BF16_ERROR:.0%}",
    )
    for name, choice in exact.choices.items():
        require(
            torch.equal(choice.index_NHK, rounded.choices[name].index_NHK),
            f"{name} chooses other experts in bf16; route in float32",
        )


def _layer_output(variant: Variant, positions: Positions, dtype: torch.dtype) -> SublayerOutput:
    """Run only the variant's layer on random inputs, with memory as long as the chunk.

    Args:
        variant: Attention or feed-forward variant.
        positions: Position encoding.
        dtype: Matmul precision.
    """
    config = model_around(variant, positions)
    layer = getattr(build_model(config, V, 0).blocks[0], variant.block)
    n_inputs = 2 * T if variant.block == "attention" else T
    x = torch.randn(B, n_inputs, D_MODEL, generator=torch.Generator().manual_seed(0))
    done = layer(x, plan_sequences(config, T, 2 * T, dtype=dtype, device=x.device))
    if not isinstance(done, SublayerOutput):
        raise ContractError(f"the layer returns a {type(done).__name__}, not a SublayerOutput")
    return done
