"""A training step without device syncs before its end, so that it can be captured."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner

# Operators that sync the device: they read a number or a shape from its memory.
SYNCING = {
    torch.ops.aten._local_scalar_dense,
    torch.ops.aten.item,
    torch.ops.aten.is_nonzero,
    torch.ops.aten.nonzero,
    torch.ops.aten.equal,
    torch.ops.aten.masked_select,
    torch.ops.aten.repeat_interleave,
    torch.ops.aten.unique_dim,
    torch.ops.aten._unique2,
}


class RefuseSyncs(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._overloadpacket not in SYNCING, f"{func} syncs the device"
        return func(*args, **(kwargs or {}))


def without_dropout(config: RunConfig) -> RunConfig:
    """On a CPU, dropout masks need a seed read from a tensor; a GPU generates its own."""
    tree = config.model_dump(mode="json")
    tree["model"]["feedforward"]["p_dropout"] = 0.0
    return RunConfig.model_validate(tree)


def step_runner_of(config: RunConfig) -> StepRunner:
    model = build_model(config.model, config.vocab_size, config.seed).train()
    setup = ComputeSetup(torch.device("cpu"), "fp32", {"device_name": "test"})
    objective = build_scorer(config)
    return StepRunner(config, model, objective, RandomBatches(config), setup)


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
def test_a_step_has_no_device_sync(tiny_config, attention: str) -> None:
    config = without_dropout(tiny_config(attention, micro_batch_size=2))
    stepper = step_runner_of(config)
    batch = RandomBatches(config).at(0)
    parts = stepper._on_device(batch)
    with RefuseSyncs():
        loss, norm, memories = stepper._take(parts, batch.targets.size, stepper._memories)
        stepper._take(parts, batch.targets.size, memories)
    assert loss.isfinite()
    assert norm > 0


def test_reading_a_number_is_detected() -> None:
    with RefuseSyncs(), pytest.raises(AssertionError, match="syncs the device"):
        float(torch.ones(()) * 2)


def test_a_non_finite_loss_leaves_weights_and_moments_unchanged(tiny_config) -> None:
    stepper = step_runner_of(tiny_config())
    stepper.step(0)
    with torch.no_grad():
        stepper.model.output.bias[0] = float("nan")
    before = {name: value.clone() for name, value in stepper.tensors().items()}
    with pytest.raises(TrainingError, match="loss is nan at step 2; the step was skipped"):
        stepper.step(1)
    for name, value in stepper.tensors().items():
        if not name.startswith("memory."):
            assert torch.equal(value, before[name]) or name == "model.output.bias"
