"""One run from configuration to result: records first, then training, then scores."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import switchhead_lab
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.identity import identity
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import Dataset, open_dataset
from switchhead_lab.errors import LabError, RecordError, TrainingError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.mlflow_index import Index, Mirror
from switchhead_lab.tracking.provenance import collect_provenance
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunLabels,
    RunRecord,
    RunResult,
    RunState,
    find_by_config,
    read_run,
)
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.checkpoint import Progress
from switchhead_lab.training.hooks import Hook
from switchhead_lab.training.host import Host, prepare_host
from switchhead_lab.training.loop import Trainer
from switchhead_lab.training.objectives import build_objective
from switchhead_lab.training.progress import ProgressDisplay
from switchhead_lab.training.validation import SplitScore


def execute_run(
    workspace: Workspace,
    config: RunConfig,
    labels: RunLabels,
    *,
    index: Index,
    parent_id: str | None = None,
    hooks: Sequence[Hook] = (),
) -> RunRecord:
    """Train one configuration, or return its record if that was done before.

    A run that was interrupted goes on from its latest checkpoint.

    Args:
        workspace: Where data and runs live.
        config: Resolved configuration.
        labels: Names for the run's directory.
        index: Index that mirrors the run.
        parent_id: Parent run in the index, for a sweep's runs.
        hooks: See every recorded point and may prune.

    Raises:
        ConfigError: If the device is not there or cannot do what is asked.
        TrainingError: If training failed; the run's status says why.
        RecordError: If the run is being trained by another process, or its data changed.
        DataError: If the corpus cannot be prepared.
    """
    dataset = open_dataset(workspace.data_dir, config.data, progress=tell)
    make_directory(workspace.runs_dir)
    done = _find_finished(workspace.runs_dir, config, dataset)
    if done is not None:
        return done
    training = config.training
    host = prepare_host(
        workspace.settings.device,
        training.precision,
        compiles_blocks=training.compile_blocks,
        captures_step=training.capture_step,
    )
    lock = FileLock(workspace.runs_dir / f".{identity(config)[:16]}.lock", timeout=0)
    try:
        with lock:
            return _execute(_Job(workspace, config, labels, dataset, host, hooks), index, parent_id)
    except Timeout:
        raise RecordError(
            f"another process is training this configuration (lock {lock.lock_file}); "
            "wait for it, or end it and try again"
        ) from None


@dataclass(frozen=True)
class _Job:
    """A run about to be executed, with everything it needs opened."""

    workspace: Workspace
    config: RunConfig
    labels: RunLabels
    dataset: Dataset
    host: Host
    hooks: Sequence[Hook]


def _execute(job: _Job, index: Index, parent_id: str | None) -> RunRecord:
    """Train a job in its run directory; whatever happens, the status says what became of it."""
    config = job.config
    job.dataset.verify()
    run_dir = _open_run_dir(job)
    mirror = index.start_run(read_run(run_dir.path), parent_id)
    trainer = None
    state: RunState = "failed"
    step, reason = 0, ""
    try:
        with ProgressDisplay(run_dir.path.name, config.training.n_steps) as display:
            model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs)
            hooks: list[Hook] = [_MirrorHook(mirror), display, *job.hooks]
            objective = build_objective(config.objective)
            trainer = Trainer(config, model, objective, job.dataset, job.host, run_dir, hooks)
            outcome = trainer.train()
        if outcome.prune is None:
            assert outcome.validation is not None, "only a pruned run has no final validation"
            use = outcome.validation.router_use
            result = _result(run_dir.path, job, trainer, outcome.progress, outcome.validation)
            run_dir.finish(result, use.as_data() if use.counts_HE else None)
            state = "finished"
        else:
            state, reason = "pruned", outcome.prune.reason
    except KeyboardInterrupt:
        state, reason = "interrupted", "interrupted by the user or the system"
        raise
    except LabError as error:
        reason = str(error)
        raise
    except Exception as error:
        reason = mask_passwords(f"{type(error).__name__}: {error}", *job.workspace.addresses)
        raise TrainingError(f"{run_dir.path.name}: {reason}") from error
    finally:
        if state != "finished":
            step = trainer.progress.step if trainer is not None else 0
            run_dir.close(state, step, reason)
        mirror.finish(state)
    return read_run(run_dir.path)


def _open_run_dir(job: _Job) -> RunDir:
    """Write down what is run and where it comes from, before anything runs."""
    provenance = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=job.dataset.describe(),
        device=job.host.facts,
        command=sys.argv,
        addresses=job.workspace.addresses,
    )
    runs_dir, diff = job.workspace.runs_dir, provenance.uncommitted_diff
    return RunDir.open(runs_dir, job.config, job.labels, provenance.values, diff)


class _MirrorHook:
    """Passes points on to the index."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def observe(self, point: MetricPoint) -> None:
        self._mirror.add(point)


def _find_finished(runs_dir: Path, config: RunConfig, dataset: Dataset) -> RunRecord | None:
    """Return the record of a finished run; refuse one that was begun on other data."""
    path = find_by_config(runs_dir, config)
    if path is None:
        return None
    run = read_run(path)
    known: dict[str, Any] = run.provenance.get("data_manifest") or {}
    if known.get("digest", dataset.digest) != dataset.digest:
        raise RecordError(
            f'{path}: trained on other contents of corpus "{config.data.corpus}" (digest '
            f"{known['digest'][:12]}, now {dataset.digest[:12]}); remove the run or prepare the "
            "new text under another name"
        )
    return run if run.result is not None else None


def _result(
    path: Path, job: _Job, trainer: Trainer, progress: Progress, validation: SplitScore
) -> RunResult:
    config = job.config
    test = trainer.score("test")
    points = list(read_run(path).metrics())
    ms_per_step = statistics.median(
        point.metrics["train/ms_per_step"]
        for point in points
        if "train/ms_per_step" in point.metrics
    )
    n_parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    assert n_parameters == count_parameters(config.model, config.vocab_size, config.n_outputs).total
    return RunResult(
        validation_loss_nats=validation.loss_nats,
        validation_perplexity=validation.perplexity,
        validation_bits_per_byte=validation.bits_per_byte(job.dataset.n_bytes("validation")),
        test_loss_nats=test.loss_nats,
        test_perplexity=test.perplexity,
        test_bits_per_byte=test.bits_per_byte(job.dataset.n_bytes("test")),
        validation_accuracy=validation.accuracy,
        test_accuracy=test.accuracy,
        n_parameters=n_parameters,
        n_steps=progress.step,
        n_tokens=progress.tokens,
        ms_per_step=ms_per_step,
        tokens_per_second=1e3 * config.tokens_per_step / ms_per_step,
        training_seconds=progress.seconds,
        device=job.host.description,
        precision=job.host.precision,
    )
