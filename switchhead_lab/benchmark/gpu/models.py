"""Part: loss and gradients of whole models on the device against the CPU in float64."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings, WrongResultError
from switchhead_lab.benchmark.gpu.configs import SMALL_MODELS, small_config
from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import Memory, build_model
from switchhead_lab.training.scoring import build_scorer

# Relative errors of the loss and of all gradients together (Frobenius). On a CPU with emulated
# bf16 they reach 9e-8 and 4e-7 in float32, 1.1e-4 and 3.1e-2 under bf16 autocast.
TOLERANCE = {"fp32": (1e-6, 1e-5), "bf16": (1e-3, 6e-2)}

Gradients = dict[str, Tensor]


def cases(context: Context) -> list[Case]:
    """List the cases: every variant in float32 and under bf16 autocast."""
    names = list(SMALL_MODELS)[-3:] if context.is_dry_run else SMALL_MODELS
    return [
        Case(f"{name}, {precision}", partial(_check, name, precision, context))
        for name in names
        for precision in TOLERANCE
    ]


def _check(name: str, precision: str, context: Context) -> Iterator[Findings]:
    config = small_config(name)
    exact_loss, exact = _loss_and_gradients(config, torch.device("cpu"), "fp64")
    loss, gradients = _loss_and_gradients(config, context.device, precision)
    errors = {
        "loss": abs(loss - exact_loss) / exact_loss,
        "gradients": _distance(gradients, exact),
    }
    yield {"errors": errors, "loss": loss, "exact_loss": exact_loss}
    for error, tolerance in zip(errors.values(), TOLERANCE[precision], strict=True):
        if not error <= tolerance:
            raise WrongResultError(f"relative errors {errors}; tolerance {TOLERANCE[precision]}")


def _loss_and_gradients(
    config: RunConfig, device: torch.device, precision: str
) -> tuple[float, Gradients]:
    """Run two chunks, the second with memory if the model has one."""
    model = build_model(config.model, config.vocab_size, config.seed).to(device)
    if precision == "fp64":
        model.double()
    scorer, batches = build_scorer(config), RandomBatches(config)
    memory: Memory = ()
    losses = []
    for number in range(2):
        draw = config.objective.training_draw(config.seed, number)
        batch = scorer.prepare(batches.at(number), draw)
        arrays = (batch.inputs_BT, batch.targets)
        inputs, targets = (torch.from_numpy(array).to(device) for array in arrays)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            score = scorer.score(model, inputs, targets, memory)
        memory = score.memory if config.model.memory_len else ()
        losses.append(score.loss_nats_sum / batch.n_targets)
        if score.auxiliary_loss is not None:
            losses.append(score.auxiliary_loss)
    loss = torch.stack(losses).sum()
    loss.backward()
    gradients = {
        name: parameter.grad.double().cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return float(loss.detach()), gradients


def _distance(found: Gradients, exact: Gradients) -> float:
    assert found.keys() == exact.keys(), "every parameter has a gradient or none"
    squares = [(found[name] - value).square().sum() for name, value in exact.items()]
    total = sum(float(value.square().sum()) for value in exact.values())
    return float(torch.stack(squares).sum() / total) ** 0.5
