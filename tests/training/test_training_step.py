"""A training step without device syncs before its end, so that it can be captured."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import Batch
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward

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


class SameBatch(RandomBatches):
    """The batch of the first step, at every step."""

    def at(self, step: int) -> Batch:
        return super().at(0)


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


def mean_losses(stepper: StepRunner, batch: Batch) -> torch.Tensor:
    """Return the mean loss over all targets, plus the mean auxiliary loss of the micro-batches."""
    parts = stepper._on_device(batch)
    outputs = [stepper.model(inputs) for inputs, _ in parts]
    logits = torch.cat([output.logits_BTV.flatten(0, 1) for output in outputs])
    loss = F.cross_entropy(logits, torch.cat([targets.flatten() for _, targets in parts]))
    auxiliary = [output.auxiliary_loss for output in outputs]
    return loss + sum(one for one in auxiliary if one is not None) / len(parts)


@pytest.mark.parametrize("feedforward", ["dense", "sigma_moe"])
@pytest.mark.parametrize("micro_batch_size", [4, 2, 1])
def test_gradients_are_of_the_mean_over_all_micro_batches(
    tiny_config, feedforward: str, micro_batch_size: int
) -> None:
    """The norm before clipping shows the scale, which AdamW would hide."""
    config = without_dropout(tiny_config(micro_batch_size=micro_batch_size))
    if feedforward == "sigma_moe":
        # A large coefficient, so that the auxiliary loss dominates.
        block = SigmaMoeFeedForward(n_experts=4, d_expert=8, top_k=1, entropy_coefficient=30.0)
        model = config.model.model_copy(update={"feedforward": block})
        config = config.model_copy(update={"model": model})
    stepper, batch = step_runner_of(config), RandomBatches(config).at(0)
    grads = torch.autograd.grad(mean_losses(stepper, batch), list(stepper.model.parameters()))
    expected = torch.nn.utils.get_total_norm(grads)
    parts = stepper._on_device(batch)
    _, norm, _ = stepper._take(parts, batch.n_targets, stepper._memories)
    torch.testing.assert_close(norm, expected, rtol=1e-4, atol=0.0)


def test_dropout_depends_on_seed_and_step(tiny_config) -> None:
    def loss(seed: int, step: int, p_dropout: float = 0.5) -> float:
        tree = tiny_config(seed=seed).model_dump(mode="json")
        tree["model"]["feedforward"]["p_dropout"] = p_dropout
        config = RunConfig.model_validate(tree)
        stepper = step_runner_of(config)
        stepper.model.reset_parameters(0)
        stepper._batches = SameBatch(config)
        return stepper.step(step)[0]

    assert loss(0, 0, p_dropout=0.0) == loss(1, 1, p_dropout=0.0)
    assert loss(0, 0) == loss(0, 0)
    assert len({loss(0, 0), loss(1, 0), loss(0, 1)}) == 3


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
