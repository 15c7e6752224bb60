"""Optimiser, learning-rate schedule and gradient clipping."""

import math

import torch
from torch import Tensor, nn

from switchhead_lab.config.schema import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW over all parameters, its learning rate to be set at every step."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        weight_decay=config.weight_decay,
        fused=next(model.parameters()).device.type in ("cpu", "cuda"),
    )


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to the final fraction.

    A pure function of the step, so that a resumed run has nothing to restore.

    Args:
        config: Training configuration.
        step: Steps done before this one, 0 <= step < n_steps.
    """
    if step < config.n_warmup_steps:
        return config.learning_rate * (step + 1) / config.n_warmup_steps
    done = (step - config.n_warmup_steps) / max(1, config.n_steps - config.n_warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * done))
    fraction = config.final_lr_fraction + (1.0 - config.final_lr_fraction) * cosine
    return config.learning_rate * fraction


def clip_gradients(model: nn.Module, max_norm: float) -> Tensor:
    """Scale the gradients to a global norm of at most `max_norm`; return the norm before."""
    return nn.utils.clip_grad_norm_(model.parameters(), max_norm)
