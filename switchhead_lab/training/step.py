"""One optimiser step: forward and backward passes over the micro-batches, clipping, AdamW.

Batch, learning rate and dropout of a step depend only on (seed, step), so a resumed run is
bitwise identical to an uninterrupted one.
"""

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import Batch
from switchhead_lab.data.dataset import TrainingBatches
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.training.captured_step import (
    CapturedStep,
    MicroBatches,
    TakenStep,
    TakeStep,
    step_graph,
)
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.layout import layout_fault, tensors_below, weights_of
from switchhead_lab.training.optimisation import (
    build_optimizer,
    learning_rate,
    set_learning_rate,
    take_clipped_step,
)
from switchhead_lab.training.scoring import Scorer


class StepRunner:
    """Takes optimiser steps with one model; owns the optimiser and the memories."""

    def __init__(
        self,
        config: RunConfig,
        model: Transformer,
        scorer: Scorer,
        batches: TrainingBatches,
        setup: ComputeSetup,
    ) -> None:
        self.model = model.to(setup.device)
        self.model.checkpoint_activations = config.training.checkpoint_activations
        if config.training.compile_blocks:
            self.model.compile_blocks()
        self._config, self._scorer, self._batches, self._setup = config, scorer, batches, setup
        self._optimizer = build_optimizer(self.model, config.training)
        self._n_micro_batches = config.training.batch_size // config.training.micro_batch_size
        self._memories: list[Memory] = [()] * self._n_micro_batches
        self._take: TakeStep = self._take_eagerly
        if config.training.capture_step:
            self._take = CapturedStep(self._take_eagerly, step_graph(setup.device))

    def step(self, number: int) -> tuple[float, int]:
        """Take step `number`, from 0; return the summed loss in nats and the number of targets.

        Raises:
            TrainingError: If the loss or a gradient is not finite; the step is skipped.
        """
        draw = self._config.objective.training_draw(self._config.seed, number)
        batch = self._scorer.prepare(self._batches.at(number), draw)
        torch.manual_seed(_step_seed(self._config.seed, number))
        set_learning_rate(self._optimizer, learning_rate(self._config.training, number))
        parts = self._on_device(batch)
        if batch.starts_stream:
            self._memories = [()] * self._n_micro_batches
        loss_sum, norm, self._memories = self._take(parts, batch.n_targets, self._memories)
        # The step's only device sync, after all work is queued.
        loss_nats = float(loss_sum)
        self._require_finite("loss", loss_nats, number)
        self._require_finite("gradient norm", float(norm), number)
        return loss_nats, batch.n_targets

    def _on_device(self, batch: Batch) -> MicroBatches:
        """Return inputs and targets of each micro-batch."""
        rows = self._config.training.micro_batch_size
        pairs = []
        for number in range(self._n_micro_batches):
            part = slice(number * rows, (number + 1) * rows)
            arrays = (batch.inputs_BT[part], batch.targets[part])
            inputs, targets = (torch.from_numpy(array).to(self._setup.device) for array in arrays)
            pairs.append((inputs, targets))
        return pairs

    def _take_eagerly(
        self, parts: MicroBatches, n_targets: int, memories: list[Memory]
    ) -> TakenStep:
        """Queue all work of a step without a device sync.

        The gradients are of the mean loss over all micro-batches.
        """
        self._optimizer.zero_grad(set_to_none=True)
        is_bf16 = self._setup.precision == "bf16"
        losses, new_memories = [], []
        for (inputs, targets), memory in zip(parts, memories, strict=True):
            with torch.autocast(self._setup.device.type, torch.bfloat16, enabled=is_bf16):
                score = self._scorer.score(self.model, inputs, targets, memory)
            loss = score.loss_nats_sum / n_targets
            if score.auxiliary_loss is not None:
                loss = loss + score.auxiliary_loss / self._n_micro_batches
            loss.backward()
            new_memories.append(score.memory)
            losses.append(score.loss_nats_sum.detach())
        loss_sum = torch.stack(losses).sum()
        norm, _ = take_clipped_step(self._optimizer, self._config.training.clip_norm, loss_sum)
        return TakenStep(loss_sum, norm, new_memories)

    def _require_finite(self, name: str, value: float, number: int) -> None:
        if not math.isfinite(value):
            rate = self._config.training.learning_rate
            raise TrainingError(
                f"{name} is {value} at step {number + 1}; the step was skipped. "
                f"Try a learning_rate below {rate:g} or more warm-up",
                cause="non-finite",
            )

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that changes from step to step, by name."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{name}.{key}"] = value
        for number, memory in enumerate(self._memories):
            for layer, value in enumerate(memory):
                tensors[f"memory.{number:04d}.{layer:04d}"] = value
        return tensors

    def fault_of(self, tensors: Mapping[str, Tensor]) -> str:
        """Return why `load_tensors` cannot load these tensors; empty if it can."""
        rows = self._config.training.micro_batch_size
        return layout_fault(tensors, self.model, self._n_micro_batches, rows)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        self.model.load_state_dict(weights_of(tensors))
        for name, parameter in self.model.named_parameters():
            state = tensors_below(f"optimizer.{name}.", tensors)
            # Fused AdamW needs its step counter on the parameter's device, like the moments.
            self._optimizer.state[parameter] = {
                key: value.to(parameter.device) for key, value in state.items()
            }
        for number in range(self._n_micro_batches):
            layers = tensors_below(f"memory.{number:04d}.", tensors)
            self._memories[number] = tuple(
                layers[key].to(self._setup.device) for key in sorted(layers)
            )


def _step_seed(seed: int, step: int) -> int:
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
