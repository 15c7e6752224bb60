"""Contract of a layer's parameters: their number, initialisation, gradients and determinism."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.contract.models import (
    V,
    build_layer,
    loss_of,
    model_around,
    random_tokens,
    with_dropout,
)
from switchhead_lab.errors import ContractError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import require
from switchhead_lab.variants.positions import Positions

_P_DROPOUT = 0.2


def gradients_reach_every_parameter(variant: Variant, positions: Positions) -> None:
    """Every parameter gets a finite, nonzero gradient, also when memory is used."""
    model = build_model(model_around(variant, positions), V, 0)
    output = model(random_tokens(2), model(random_tokens(1)).memory)
    loss_of(output).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            raise ContractError(f"{name} gets no gradient")
        require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
        require(bool(parameter.grad.any()), f"the gradient of {name} is zero")


def parameters_match_their_counts(variant: Variant, positions: Positions) -> None:
    """The module has the parameters that the class counts, name by name."""
    with torch.device("meta"):
        layer = build_layer(variant, positions)
    built = {name: parameter.numel() for name, parameter in layer.named_parameters()}
    counted = variant.parameter_parts(model_around(variant, positions).layer)
    for name in dict.fromkeys([*counted, *built]):
        require(
            counted.get(name) == built.get(name),
            f"{name} has {built.get(name, 0)} parameters, the class counts {counted.get(name, 0)}",
        )


def parameters_are_initialised(variant: Variant, positions: Positions) -> None:
    """All parameters are initialised, from the generator alone; random ones scale with `scale`."""

    def initialised(seed: int, scale: float) -> Mapping[str, Tensor]:
        layer = build_layer(variant, positions)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(math.nan)
        layer.reset_parameters(scale, torch.Generator().manual_seed(seed))
        return {name: parameter.detach() for name, parameter in layer.named_parameters()}

    once, again, other, twice = (
        initialised(seed, scale) for seed, scale in ((0, 1.0), (0, 1.0), (1, 1.0), (0, 2.0))
    )
    for name, values in once.items():
        require(bool(values.isfinite().all()), f"{name} is not initialised")
        require(torch.equal(values, again[name]), f"{name} does not depend on the generator alone")
        factor = 1.0 if torch.equal(values, other[name]) else 2.0
        require(
            torch.allclose(factor * values, twice[name]),
            f"{name} is not initialised in proportion to `scale`",
        )


def state_dict_is_complete(variant: Variant, positions: Positions) -> None:
    """A model that loads another's state dict computes the same outputs."""
    config, tokens = model_around(variant, positions), random_tokens()
    model, other = (build_model(config, V, seed) for seed in (0, 1))
    reference = model(tokens).logits_BTV
    require(not torch.equal(other(tokens).logits_BTV, reference), "the seed has no effect")
    other.load_state_dict(model.state_dict())
    require(torch.equal(other(tokens).logits_BTV, reference), "the state dict is not all its state")


def equal_seeds_give_equal_bits(variant: Variant, positions: Positions) -> None:
    """Equal seeds give bitwise equal outputs and gradients."""
    config = model_around(with_dropout(variant, _P_DROPOUT), positions)
    require(step_bits(config) == step_bits(config), "two steps from one seed differ")


def step_bits(config: ModelConfig) -> bytes:
    """Return the bits of the outputs and gradients of a training step from fixed seeds."""
    model = build_model(config, V, 5)
    torch.manual_seed(1)
    output = model(random_tokens())
    loss_of(output).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return b"".join(x.detach().numpy().tobytes() for x in (output.logits_BTV, *grads))
