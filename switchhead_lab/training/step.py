"""One optimiser step: forward and backward passes over the micro-batches, clipping, AdamW.

Batch, learning rate and dropout depend only on seed, step and micro-batch, so a resumed run is
bitwise identical to an uninterrupted one, and several ranks share the micro-batches of a step.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

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
from switchhead_lab.training.checkpoint_parts import write_parts
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.layout import MOMENTS, layout_fault, tensors_below
from switchhead_lab.training.optimisation import (
    build_optimizer,
    learning_rate,
    set_learning_rate,
    take_clipped_step,
)
from switchhead_lab.training.ranks import ALONE, Action, Ranks
from switchhead_lab.training.scoring import ScoredModel, Scorer
from switchhead_lab.training.sharing import (
    Sharing,
    gradients_wait,
    is_part,
    part_of,
    set_from_leader,
    share_model,
)


class StepRunner:
    """Takes optimiser steps with one model; owns the optimiser and the memories."""

    def __init__(
        self,
        config: RunConfig,
        model: Transformer,
        scorer: Scorer,
        batches: TrainingBatches,
        setup: ComputeSetup,
        ranks: Ranks = ALONE,
        sharing: Sharing = "copies",
    ) -> None:
        self.model = model.to(setup.device)
        self.model.checkpoint_activations = config.training.checkpoint_activations
        if config.training.compile_blocks:
            self.model.compile_blocks()
        self._config, self.scorer, self._batches, self._setup = config, scorer, batches, setup
        self.ranks = ranks
        self.scored = ScoredModel(self.model, scorer)
        self._shared = share_model(self.scored, ranks, sharing)
        self.holds_parts = any(is_part(parameter) for parameter in self.model.parameters())
        self._optimizer = build_optimizer(self.model, config.training)
        self._n_micro_batches = config.training.batch_size // config.training.micro_batch_size
        # Numbers of this rank's micro-batches.
        self._own = ranks.share_of(self._n_micro_batches)
        self._memories: list[Memory] = [()] * len(self._own)
        self._step = 0
        self._take: TakeStep = self._take_eagerly
        if config.training.capture_step:
            self._take = CapturedStep(self._take_eagerly, step_graph(setup.device))

    def step(self, number: int) -> tuple[float, int]:
        """Take step `number`, from 0; return the summed loss in nats and the number of targets.

        Raises:
            TrainingError: If the loss or a gradient is not finite; the step is skipped.
            RankLostError: If another rank is lost.
        """
        self.ranks.give(Action.STEP, number)
        draw = self._config.objective.training_draw(self._config.seed, number)
        batch = self.scorer.prepare(self._batches.at(number), draw)
        self._step = number
        self._seed(number, self._own[0])
        set_learning_rate(self._optimizer, learning_rate(self._config.training, number))
        parts = self._on_device(batch)
        if batch.starts_stream:
            self._memories = [()] * len(self._own)
        with self.ranks.watched():
            loss_sum, norm, self._memories = self._take(parts, batch.n_targets, self._memories)
            # The step's only device sync, after all work is queued.
            loss_nats = float(loss_sum)
        self._require_finite("loss", loss_nats, number)
        self._require_finite("gradient norm", float(norm), number)
        return loss_nats, batch.n_targets

    def _seed(self, step: int, micro_batch: int) -> None:
        """Seed the dropout of a micro-batch, on the device in use.

        `torch.manual_seed` formats the call stack for each kind of device that is missing, which
        takes longer than the step of a small model.
        """
        seed = _step_seed(self._config.seed, step, micro_batch)
        torch.default_generator.manual_seed(seed)
        if self._setup.device.type != "cpu":
            torch.get_device_module(self._setup.device).manual_seed(seed)

    def _on_device(self, batch: Batch) -> MicroBatches:
        """Return inputs and targets of each of this rank's micro-batches."""
        rows = self._config.training.micro_batch_size
        pairs = []
        for number in self._own:
            part = slice(number * rows, (number + 1) * rows)
            arrays = (batch.inputs_BT[part], batch.targets[part])
            inputs, targets = (torch.from_numpy(array).to(self._setup.device) for array in arrays)
            pairs.append((inputs, targets))
        return pairs

    def _take_eagerly(
        self, parts: MicroBatches, n_targets: int, memories: list[Memory]
    ) -> TakenStep:
        """Queue all work of a step without a device sync.

        The gradients are of the mean loss over all micro-batches of all ranks.
        """
        self._optimizer.zero_grad(set_to_none=True)
        is_bf16 = self._setup.precision == "bf16"
        losses, new_memories = [], []
        for number, (inputs, targets), memory in zip(self._own, parts, memories, strict=True):
            # A CUDA graph draws all its random numbers from one stream.
            if number > self._own[0] and not self._config.training.capture_step:
                self._seed(self._step, number)
            with gradients_wait(self._shared, waits=number < self._own[-1]):
                with torch.autocast(self._setup.device.type, torch.bfloat16, enabled=is_bf16):
                    score = self._shared(inputs, targets, memory)
                loss = score.loss_nats_sum / n_targets
                if score.auxiliary_loss is not None:
                    loss = loss + score.auxiliary_loss / self._n_micro_batches
                # Ranks average their gradients.
                (loss * self.ranks.n_ranks).backward()
            new_memories.append(score.memory)
            losses.append(score.loss_nats_sum.detach())
        loss_sum = self.ranks.sum_(torch.stack(losses).sum())
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
        """Return what changes from step to step, by name; on the leader, of all ranks.

        What ranks hold in parts is left out.

        Raises:
            RankLostError: If another rank is lost.
        """
        self.ranks.give(Action.COLLECT)
        tensors = {} if self.holds_parts else self._state()
        for number, memory in enumerate(self._all_memories()):
            for layer, value in enumerate(memory):
                tensors[f"memory.{number:04d}.{layer:04d}"] = value
        return tensors

    def write_parts(self, folder: Path) -> None:
        """Write weights and optimiser state into a folder, each rank its parts.

        Raises:
            TrainingError: If a value is not finite; nothing is written.
            RankLostError: If another rank is lost.
            OSError: If the disk refuses the write.
        """
        self.ranks.give(Action.WRITE, text=str(folder))
        state = self._state()
        n_unusable = sum(not part_of(tensor).isfinite().all() for tensor in state.values())
        if int(self.ranks.sum_(torch.tensor(n_unusable, device=self._setup.device))):
            raise TrainingError(
                f"weights are not finite after step {self._step + 1}; no checkpoint was written; "
                "the previous one is kept. Try a lower learning_rate or more warm-up",
                cause="non-finite",
            )
        with self.ranks.watched():
            write_parts(folder, state)

    def _state(self) -> dict[str, Tensor]:
        """Return weights and optimiser state by name, in the same order on all ranks."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            of_parameter = self._optimizer.state[parameter]
            state |= {f"optimizer.{name}.{key}": of_parameter[key] for key in sorted(of_parameter)}
        return state

    def _all_memories(self) -> list[Memory]:
        """Return the memories of all micro-batches; those of other ranks only on the leader."""
        # Equal on all ranks: their streams start together.
        if self.ranks.is_alone or not self._memories[0]:
            return self._memories
        # [own micro-batches, layers, rows, positions, D]
        own = torch.stack([torch.stack(memory) for memory in self._memories])
        return [tuple(memory) for part in self.ranks.gather(own) for memory in part]

    def fault_of(self, tensors: Mapping[str, Tensor]) -> str:
        """Return why `load_tensors` cannot load these tensors; empty if it can."""
        rows = self._config.training.micro_batch_size
        return layout_fault(tensors, self.model, self._n_micro_batches, rows)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned, on all ranks; called by the leader.

        Raises:
            RankLostError: If another rank is lost.
        """
        memories = [
            [layers[key] for key in sorted(layers)]
            for number in range(self._n_micro_batches)
            for layers in [tensors_below(f"memory.{number:04d}.", tensors)]
        ]
        self.ranks.give(Action.RESTORE, text=_layout_of(memories))
        self._prepare_optimizer()
        for name, tensor in self._state().items():
            set_from_leader(tensor, tensors[name], self.ranks)
        self._scatter_memories(memories, _layout_of(memories))

    def receive_tensors(self, layout: str) -> None:
        """Restore what the leader loads; called by followers.

        Args:
            layout: Text of the leader's order.
        """
        self._prepare_optimizer()
        for tensor in self._state().values():
            set_from_leader(tensor, None, self.ranks)
        self._scatter_memories([], layout)

    def _prepare_optimizer(self) -> None:
        """Give the optimiser the state that it otherwise has after its first step."""
        for parameter in self.model.parameters():
            self._optimizer.state[parameter] = {
                # Fused AdamW needs its step counter on the parameter's device, like the moments.
                "step": torch.zeros((), device=parameter.device),
                **{moment: torch.zeros_like(parameter) for moment in MOMENTS},
            }

    def _scatter_memories(self, memories: list[list[Tensor]], layout: str) -> None:
        """Take this rank's memories from the leader's.

        Args:
            memories: Those of all micro-batches by layer, on the CPU; empty on followers.
            layout: What `_layout_of` returned.
        """
        self._memories = [()] * len(self._own)
        if not layout:
            return
        shape, dtype = json.loads(layout)
        like = torch.empty(len(self._own), *shape, dtype=getattr(torch, dtype))
        parts = torch.stack([torch.stack(layers) for layers in memories]) if memories else like
        own = self.ranks.scatter(parts.split(len(self._own)) if memories else (), like)
        self._memories = [tuple(memory) for memory in own.to(self._setup.device)]


def _layout_of(memories: list[list[Tensor]]) -> str:
    """Return shape and type of one micro-batch's memory in JSON; empty if there is none."""
    if not memories[0]:
        return ""
    first = memories[0][0]
    shape = [len(memories[0]), *first.shape]
    return json.dumps([shape, str(first.dtype).removeprefix("torch.")])


def _step_seed(seed: int, step: int, micro_batch: int) -> int:
    name = f"{seed}/{step}/{micro_batch}" if micro_batch else f"{seed}/{step}"
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:7], "big")
