"""The training loop, shared by all variants, sizes and objectives."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.dataset import Dataset
from switchhead_lab.data.documents import Split
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.objectives.metrics import LOSS
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.checkpoint import load_latest, remove_leftovers
from switchhead_lab.training.checkpoint_manifest import Progress
from switchhead_lab.training.checkpoint_writer import CheckpointWriter
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.hooks import Hook, Prune
from switchhead_lab.training.optimisation import learning_rate
from switchhead_lab.training.ranks import ALONE, Action, Ranks
from switchhead_lab.training.scoring import Scorer
from switchhead_lab.training.sharing import Sharing
from switchhead_lab.training.step import StepRunner
from switchhead_lab.training.validation import SplitScore, score_split

_VALIDATION_LOSS = f"validation/{LOSS.name}"


@dataclass(frozen=True)
class TrainingOutcome:
    """How training ended.

    Attributes:
        progress: Steps, tokens and seconds, summed over all attempts.
        validation: Score after the last step; None if pruned.
        prune: Why training was ended early; None if it was not.
    """

    progress: Progress
    validation: SplitScore | None
    prune: Prune | None


class Trainer:
    """Trains one model; build it, then call `train` once."""

    def __init__(
        self,
        config: RunConfig,
        model: Transformer,
        scorer: Scorer,
        dataset: Dataset,
        setup: ComputeSetup,
        run_dir: RunDir,
        hooks: Sequence[Hook],
        ranks: Ranks = ALONE,
        sharing: Sharing = "copies",
    ) -> None:
        self.config, self.setup = config, setup
        self._dataset = dataset
        self._run_dir, self._hooks = run_dir, hooks
        batches = dataset.training_batches(
            config.training.batch_size, config.model.seq_len, config.seed
        )
        self._runner = StepRunner(config, model, scorer, batches, setup, ranks, sharing)
        self.model = self._runner.model
        self.progress = Progress()
        self._checkpoints = CheckpointWriter(run_dir.checkpoints_dir, identity(config))
        # Wall times of the steps since the last recorded point.
        self._unlogged_seconds: list[float] = []
        # Step of the newest checkpoint.
        self._saved_step = 0
        self._is_between_steps = True

    def train(self) -> TrainingOutcome:
        """Train from the latest checkpoint, if any, to the last step or until a hook prunes.

        A signal takes effect after the current step; a checkpoint of it is saved.

        Raises:
            TrainingError: If the loss or a gradient is not finite (the step is skipped), or if a
                weight to be saved is not.
            StorageError: If the disk refuses a checkpoint or a metric.
            RankLostError: If another rank is lost.
        """
        self._resume()
        with self._checkpoints:
            try:
                return self._train()
            except KeyboardInterrupt:
                if self._is_between_steps and self.progress.step > self._saved_step:
                    self._save()
                raise

    def _train(self) -> TrainingOutcome:
        training = self.config.training
        validation: SplitScore | None = None
        self.model.train()
        prune: Prune | None = None
        # A signal may have interrupted the run before the validation of this step, or before
        # hooks observed it.
        is_due, recorded = self._is_validation_due(), self._recorded_validation()
        if recorded is not None:
            is_due, prune = False, self._observe(recorded)
        while True:
            if is_due:
                validation = self.score("validation")
                with interruption.deferred():
                    recorded = self._record(self._validation_metrics(validation))
                # Not deferred: a hook may block, and observes the point again when the run resumes.
                prune = self._observe(recorded)
            if prune is not None and self.progress.step < training.n_steps:
                return TrainingOutcome(self.progress, None, prune)
            if self._is_checkpoint_due():
                with interruption.deferred():
                    self._save()
            if self.progress.step >= training.n_steps:
                break
            with interruption.deferred():
                self._advance()
            is_due = self._is_validation_due()
        # A run killed between its last checkpoint and its result only needs scoring.
        validation = validation or self.score("validation")
        return TrainingOutcome(self.progress, validation, None)

    def _advance(self) -> None:
        """Take a step, count it, and record the training metrics if they are due."""
        started = time.perf_counter()
        self._is_between_steps = False
        loss_sum, n_targets = self._runner.step(self.progress.step)
        self._count(loss_sum, n_targets, time.perf_counter() - started)
        self._is_between_steps = True
        if self._is_due(self.config.training.log_every):
            self._observe(self._record(self._take_training_metrics()))

    def _is_due(self, every: int) -> bool:
        step = self.progress.step
        return step > 0 and (step % every == 0 or step == self.config.training.n_steps)

    def _is_validation_due(self) -> bool:
        return self._is_due(self.config.training.validate_every)

    def _is_checkpoint_due(self) -> bool:
        is_new = self.progress.step > self._saved_step
        return is_new and self._is_due(self.config.training.checkpoint_every)

    def _recorded_validation(self) -> MetricPoint | None:
        """Return the recorded validation of the current step, if any."""
        current = (p for p in self._run_dir.metrics() if p.step == self.progress.step)
        return next((point for point in current if _VALIDATION_LOSS in point.metrics), None)

    def score(self, split: Split) -> SplitScore:
        """Score a whole split with the current weights."""
        ranks = self._runner.ranks
        ranks.give(Action.SCORE, text=split)
        rows, seq_len = self.config.training.batch_size, self.config.model.seq_len
        batches = self._dataset.evaluation_batches(split, rows, seq_len)
        return score_split(self._runner.scored, batches, self.setup, ranks=ranks)

    def _count(self, loss_sum: float, n_targets: int, seconds: float) -> None:
        self._unlogged_seconds.append(seconds)
        done = self.progress
        self.progress = Progress(
            step=done.step + 1,
            tokens=done.tokens + self.config.tokens_per_step,
            seconds=done.seconds + seconds,
            unlogged_loss_nats=done.unlogged_loss_nats + loss_sum,
            unlogged_targets=done.unlogged_targets + n_targets,
        )

    def _take_training_metrics(self) -> dict[str, float]:
        """Return the training metrics since the last recorded point, and reset them."""
        seconds = statistics.median(self._unlogged_seconds)
        loss_nats = self.progress.unlogged_loss_nats / self.progress.unlogged_targets
        self._unlogged_seconds = []
        self.progress = replace(self.progress, unlogged_loss_nats=0.0, unlogged_targets=0)
        return {
            "train/loss_nats": loss_nats,
            "train/learning_rate": learning_rate(self.config.training, self.progress.step - 1),
            "train/ms_per_step": 1e3 * seconds,
            "train/tokens_per_second": self.config.tokens_per_step / seconds,
        }

    def _validation_metrics(self, score: SplitScore) -> dict[str, float]:
        measured = self.config.objective.measure(score.totals)
        metrics = {
            f"validation/{name}": value for name, value in measured.items() if math.isfinite(value)
        }
        return metrics | score.router_use.metrics()

    def _record(self, metrics: dict[str, float]) -> MetricPoint:
        point = MetricPoint(self.progress.step, self.progress.tokens, time.time(), metrics)
        self._run_dir.add(point)
        return point

    def _observe(self, point: MetricPoint) -> Prune | None:
        """Pass a recorded point to all hooks, which ignore repeated points."""
        prunes = [hook.observe(point) for hook in self._hooks]
        return next((prune for prune in prunes if prune is not None), None)

    def _save(self) -> None:
        # First: after a power cut, no checkpoint may be newer than the recorded points.
        self._run_dir.sync_metrics()
        runner = self._runner
        write_parts = runner.write_parts if runner.holds_parts else None
        self._checkpoints.save(self.progress, runner.tensors(), write_parts)
        self._saved_step = self.progress.step

    def _resume(self) -> None:
        directory = self._run_dir.checkpoints_dir
        remove_leftovers(directory)
        loaded = load_latest(directory, identity(self.config), self._fault_of)
        self._run_dir.drop_metrics_after(loaded[0].step if loaded else 0)
        if loaded is not None:
            self.progress, tensors = loaded
            self._runner.load_tensors(tensors)
            self._saved_step = self.progress.step

    def _fault_of(self, progress: Progress, tensors: Mapping[str, Tensor]) -> str:
        """Return why a checkpoint does not fit this run; empty if it does."""
        n_steps, tokens = self.config.training.n_steps, progress.step * self.config.tokens_per_step
        if progress.step > n_steps:
            return f"step {progress.step} of {n_steps}"
        if progress.tokens != tokens:
            return f"{progress.tokens} tokens after {progress.step} steps, {tokens} expected"
        return self._runner.fault_of(tensors)
