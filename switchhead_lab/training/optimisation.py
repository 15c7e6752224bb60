"""Optimiser, learning-rate schedule and gradient clipping."""

import math

import torch
from torch import Tensor, nn

from switchhead_lab.config.schema import TrainingConfig
from switchhead_lab.training.sharing import whole_of

# Their fused AdamW scales gradients as it reads them, and skips a step when `found_inf` is set.
_SCALES_IN_OPTIMIZER = ("cpu", "cuda")


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW over all parameters; set its learning rate before each step.

    The rate is a tensor on the parameters' device, so that a captured step reads its current value.
    """
    device = next(model.parameters()).device
    return torch.optim.AdamW(
        model.parameters(),
        lr=torch.tensor(config.learning_rate, device=device),
        betas=(config.adam_beta1, config.adam_beta2),
        weight_decay=config.weight_decay,
        fused=device.type in _SCALES_IN_OPTIMIZER,
        capturable=config.capture_step,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"].fill_(rate)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to the final fraction.

    A pure function of the step, so that there is no scheduler state to restore.

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


def take_clipped_step(
    optimizer: torch.optim.Optimizer, max_norm: float, loss: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a step with the gradients scaled to a global norm of at most `max_norm`.

    There is no device sync: if the loss or the norm is not finite, the optimiser skips the step on
    the device. Gradients are undefined afterwards.

    Args:
        optimizer: Optimiser from `build_optimizer`.
        max_norm: Largest norm.
        loss: Scalar whose gradients are used.

    Returns:
        The norm before clipping, and whether the step was taken, both on the device.
    """
    parameters = [x for group in optimizer.param_groups for x in group["params"]]
    grads = [x.grad for x in parameters if x.grad is not None]
    # Of the whole gradient, where ranks hold parts of it.
    norm = whole_of(nn.utils.get_total_norm(grads))
    is_finite = norm.isfinite() & loss.isfinite()
    if norm.device.type in _SCALES_IN_OPTIMIZER:
        # The optimiser divides by the scale; epsilon as in `torch.nn.utils.clip_grad_norm_`.
        scale = ((norm + 1e-6) / max_norm).clamp_min(1.0).float()
        optimizer.grad_scale, optimizer.found_inf = scale, (~is_finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif is_finite:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
        optimizer.step()
    return norm, is_finite
