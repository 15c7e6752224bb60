"""One optimiser step: forward and backward passes over the micro-batches, clipping, AdamW.

A step is a function of its number: batch, learning rate and dropout are drawn from (seed, step), so
a resumed run repeats the uninterrupted one to the last bit.
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
from switchhead_lab.training.host import Host
from switchhead_lab.training.objectives import Objective
from switchhead_lab.training.optimisation import build_optimizer, clip_gradients, learning_rate


class Stepper:
    """Takes optimiser steps with one model; holds what changes from step to step."""

    def __init__(
        self,
        config: RunConfig,
        model: Transformer,
        objective: Objective,
        batches: TrainingBatches,
        host: Host,
    ) -> None:
        self.model = model.to(host.device)
        self.model.checkpoint_activations = config.training.checkpoint_activations
        self._config, self._objective, self._batches, self._host = config, objective, batches, host
        self._optimizer = build_optimizer(self.model, config.training)
        self._n_micro_batches = config.training.batch_size // config.training.micro_batch_size
        self._memories: list[Memory] = [()] * self._n_micro_batches

    def step(self, number: int) -> tuple[float, int]:
        """Take the step of this number, from 0; return the summed loss in nats and its targets.

        Raises:
            TrainingError: If the loss or a gradient is not finite; no step is taken with it.
        """
        batch = self._batches.at(number)
        torch.manual_seed(_step_seed(self._config.seed, number))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._config.training, number)
        self._optimizer.zero_grad(set_to_none=True)
        loss_sum = self._accumulate_gradients(batch)
        norm = clip_gradients(self.model, self._config.training.clip_norm)
        self._require_finite("loss", loss_sum, number)
        self._require_finite("gradient norm", float(norm), number)
        self._optimizer.step()
        return loss_sum, batch.targets.size

    def _accumulate_gradients(self, batch: Batch) -> float:
        """Add up the gradients of the mean loss over the micro-batches; return the summed loss."""
        device, rows = self._host.device, self._config.training.micro_batch_size
        is_bf16 = self._host.precision == "bf16"
        loss_sum = 0.0
        for number in range(self._n_micro_batches):
            part = slice(number * rows, (number + 1) * rows)
            memory: Memory = () if batch.starts_stream else self._memories[number]
            with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
                score = self._objective.score(
                    self.model,
                    torch.from_numpy(batch.inputs_BT[part]).to(device),
                    torch.from_numpy(batch.targets[part]).to(device),
                    memory,
                )
            loss = score.loss_nats_sum / batch.targets.size
            if score.auxiliary_loss is not None:
                loss = loss + score.auxiliary_loss / self._n_micro_batches
            loss.backward()
            self._memories[number] = score.memory
            loss_sum += float(score.loss_nats_sum.detach())
        return loss_sum

    def _require_finite(self, name: str, value: float, number: int) -> None:
        if not math.isfinite(value):
            rate = self._config.training.learning_rate
            raise TrainingError(
                f"{name} is {value} at step {number + 1}; the step was not taken. "
                f"Try a learning_rate below {rate:g} or more warm-up"
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

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` returned."""
        self.model.load_state_dict(_below("model.", tensors))
        for name, parameter in self.model.named_parameters():
            state = _below(f"optimizer.{name}.", tensors)
            # AdamW keeps its step counter where it was made; moments live with the parameter.
            self._optimizer.state[parameter] = {
                key: value.to(parameter.device) for key, value in state.items()
            }
        for number in range(self._n_micro_batches):
            layers = _below(f"memory.{number:04d}.", tensors)
            self._memories[number] = tuple(
                layers[key].to(self._host.device) for key in sorted(layers)
            )


def _step_seed(seed: int, step: int) -> int:
    digest = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
