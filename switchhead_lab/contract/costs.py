"""Contract of a layer's costs: executed MACs and saved floats, compared with the formulas."""

import itertools
import math

import torch

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.contract.models import V, loss_of, model_around, random_tokens
from switchhead_lab.model.executed import ExecutedCost, executed_attention, executed_feedforward
from switchhead_lab.model.saved_tensors import saved_for_backward
from switchhead_lab.model.transformer import build_model
from switchhead_lab.variants.base import Variant
from switchhead_lab.variants.contract import require
from switchhead_lab.variants.positions import Positions

# Allowed ratio of formula to executed cost without memory: the papers' formulas omit some terms.
_MACS_RATIOS, _FLOATS_RATIOS = (0.8, 1.25), (0.5, 2.0)
# Steps of a size after which any effect on the executed cost has shown.
_FAR = 64


def checkpointing_saves_less(variant: Variant, positions: Positions) -> None:
    """Activation checkpointing saves fewer floats and does not change gradients."""
    floats, gradients = [], []
    for checkpoints in (False, True):
        model = build_model(model_around(variant, positions), V, 0)
        model.checkpoint_activations = checkpoints
        with saved_for_backward(model.parameters()) as kept:
            output = model(random_tokens())
        floats.append(sum(kept.values()))
        loss_of(output).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    require(
        floats[1] < floats[0], f"{floats[1]} floats saved with checkpointing, {floats[0]} without"
    )
    require(
        all(torch.equal(a, b) for a, b in zip(*gradients, strict=True)),
        "checkpointing changes gradients",
    )


def executed_costs_are_counted(variant: Variant, positions: Positions) -> None:
    """Every operation has a FLOP formula; MACs grow with each size that affects them."""
    cost = _executed(model_around(variant, positions), variant)
    require(cost.macs > 0, "no multiply-accumulates are executed")
    for field in variant.sizes:
        smallest, largest = variant.smallest(field), variant.largest(field)
        step = variant.step(field) * math.ceil(field.executed_step / variant.step(field))
        changed = [
            variant.model_copy(update={field.name: value})
            for value in (smallest + n * step for n in (0, 1, 2, 3, _FAR))
            if largest is None or value <= largest
        ]
        macs = [_executed(model_around(v, positions), v).macs for v in changed]
        has_effect = macs[0] != macs[-1]
        require(
            not has_effect or all(a < b for a, b in itertools.pairwise(macs)),
            f"MACs do not grow with each {step} of {field.name}: {macs}; set executed_step",
        )


def formulas_agree_with_executed_costs(variant: Variant, positions: Positions) -> None:
    """Formulas are close to executed costs without memory; exact ones equal executed MACs."""
    aligned = variant.model_copy(
        update={f.name: f.executed_step for f in variant.sizes if f.executed_step > 1}
    )
    for context_multiple in (1, 2):
        config = model_around(aligned, positions, context_multiple=context_multiple)
        executed = _executed(config, aligned)
        for convention in variant.exact_conventions:
            macs = aligned.cost(config.layer, convention).macs
            require(macs == executed.macs, f"{convention}: {macs} MACs, executed {executed.macs}")
    config = model_around(aligned, positions, context_multiple=1)
    executed = _executed(config, aligned)
    for convention in variant.conventions:
        cost = aligned.cost(config.layer, convention)
        for unit, formula, counted, (least, most) in (
            ("MACs", cost.macs, executed.macs, _MACS_RATIOS),
            ("saved floats", cost.saved_floats, executed.memory_floats, _FLOATS_RATIOS),
        ):
            require(
                least * counted <= formula <= most * counted,
                f"{convention}: {formula} {unit}, executed {counted}; "
                f"allowed: {least} to {most} times that",
            )


def _executed(config: ModelConfig, variant: Variant) -> ExecutedCost:
    count = executed_attention if variant.block == "attention" else executed_feedforward
    return count(config)
