"""One run from configuration to result: records, training, scores."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import switchhead_lab
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.identity import identity
from switchhead_lab.config.plugins import plugins_of
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import Dataset, open_dataset
from switchhead_lab.data.documents import Split
from switchhead_lab.errors import (
    DriftError,
    FailureCause,
    LabError,
    RankLostError,
    StorageError,
    TrainingError,
)
from switchhead_lab.model.transformer import build_model
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.atomic import make_directory, write_error
from switchhead_lab.tracking.code_identity import KEY as CODE_KEY
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.drift import find_drift
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.mlflow_index import Index, Mirror
from switchhead_lab.tracking.provenance import Provenance, collect_provenance
from switchhead_lab.tracking.record import (
    CHECKPOINTS_DIR,
    MetricPoint,
    RunLabels,
    RunRecord,
    RunResult,
    RunState,
    find_by_config,
    read_run,
    run_name,
)
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.change_policy import STRICT, ChangePolicy, make_room, usable_run
from switchhead_lab.training.checkpoint_manifest import Progress
from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup
from switchhead_lab.training.follower import describe
from switchhead_lab.training.hooks import Hook
from switchhead_lab.training.initial_weights import StartingWeights, read_initial_weights
from switchhead_lab.training.loop import Trainer
from switchhead_lab.training.progress import ProgressDisplay
from switchhead_lab.training.ranks import ranks
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.validation import SplitScore


def execute_run(
    workspace: Workspace,
    config: RunConfig,
    labels: RunLabels,
    *,
    index: Index,
    parent_id: str | None = None,
    hooks: Sequence[Hook] = (),
    policy: ChangePolicy = STRICT,
) -> RunRecord:
    """Train one configuration, or return its record if it was trained before.

    An interrupted run resumes from its latest checkpoint.

    Args:
        workspace: Workspace of the data and runs.
        config: Resolved configuration.
        labels: Names for the run's directory.
        index: Index that mirrors the run.
        parent_id: Parent run in the index, for a sweep's runs.
        hooks: Observe every recorded point and may prune.
        policy: What to do with an earlier run whose code or conditions have changed.

    Raises:
        ConfigError: If the device does not support the configuration or initial weights do not fit.
        TrainingError: If training failed; the run's status says why.
        StorageError: If the disk refuses a write; the run can be resumed.
        WorkspaceError: If a folder or file is not writable, for example another user's.
        RunBusyError: If another process is training the run.
        DriftError: If conditions changed since the latest attempt and drift is not allowed.
        CodeChangedError: If the code of the finished run has changed and the policy does not say
            what to do.
        RecordError: If its data changed, or the source of initial weights is missing or changed.
        DataError: If the corpus cannot be prepared, is damaged or does not fill one batch.
        RankLostError: If one of several ranks is lost; the run can be resumed.
    """
    dataset = open_dataset(workspace.data_dir, config.data, progress=tell)
    make_directory(workspace.runs_dir)
    done = usable_run(workspace.runs_dir, config, dataset, policy)
    if done is not None:
        return done
    training = config.training
    setup = prepare_setup(
        workspace.settings.device,
        training.precision,
        compiles_blocks=training.compile_blocks,
        captures_step=training.capture_step,
    )
    ranks().require_equal_shares(config)
    start = read_initial_weights(workspace.runs_dir, config, dataset)
    job = _Job(workspace, config, labels, dataset, setup, hooks, policy, start)
    with hold_run(workspace.runs_dir, identity(config)):
        # The previous owner may have finished it while this process waited.
        done = usable_run(workspace.runs_dir, config, dataset, policy)
        return done or _execute(job, index, parent_id)


@dataclass(frozen=True)
class _Job:
    """A run to execute, with its data, device and hooks."""

    workspace: Workspace
    config: RunConfig
    labels: RunLabels
    dataset: Dataset
    setup: ComputeSetup
    hooks: Sequence[Hook]
    policy: ChangePolicy
    start: StartingWeights | None


@dataclass(frozen=True)
class _Ending:
    """How an attempt ends without a result.

    Attributes:
        state: Final state of the attempt.
        reason: Why it ended.
        cause: Kind of failure.
    """

    state: RunState
    reason: str
    cause: FailureCause = ""


def _execute(job: _Job, index: Index, parent_id: str | None) -> RunRecord:
    """Check a job, collect its provenance and train it in its run directory."""
    job.dataset.verify()
    # Raises if the split does not fill a batch, before anything is recorded.
    config = job.config
    job.dataset.training_batches(config.training.batch_size, config.model.seq_len, config.seed)
    make_room(job.workspace.runs_dir, config, job.policy)
    provenance = _collect_provenance(job)
    if job.start is not None:
        tell(f"{run_name(config, job.labels)} {job.start.describe()}")
    with interruption.deferred():
        run_dir = _open_run_dir(job, provenance, index.unsynced_mark)
        _attempt(job, run_dir, index, parent_id)
    return read_run(run_dir.path)


def _attempt(job: _Job, run_dir: RunDir, index: Index, parent_id: str | None) -> None:
    """Train a job once and record in status and index how it ended.

    Call it with signals deferred; they are allowed only during training.
    """
    with interruption.last_act(lambda number: run_dir.abandon(f"terminated by {number.name}")):
        mirror = index.start_run(read_run(run_dir.path), parent_id)
        trainer: Trainer | None = None
        result, use = None, None
        try:
            with interruption.allowed(), ExitStack() as training:
                with ProgressDisplay(
                    run_dir.path.name, job.config.training.n_steps, job.config.objective
                ) as display:
                    training.enter_context(ranks().training(_describe(job)))
                    trainer = _build_trainer(
                        job, run_dir, [_MirrorHook(mirror), display, *job.hooks]
                    )
                    outcome = trainer.train()
                if outcome.prune is None:
                    validation = outcome.validation
                    assert validation is not None, "only a pruned run has no final validation"
                    result = _result(run_dir.path, job, trainer, outcome.progress, validation)
                    use = validation.router_use
        except BaseException as error:
            step = trainer.progress.step if trainer is not None else 0
            reported = _as_lab_error(error, run_dir.path, job.workspace.addresses)
            _end(run_dir, mirror, _ending_of(reported), step)
            if reported is error:
                raise
            raise reported from error
        if result is None:
            assert outcome.prune is not None, "a run without a result was pruned"
            _end(run_dir, mirror, _Ending("pruned", outcome.prune.reason), outcome.progress.step)
        else:
            run_dir.finish(result, use.as_data() if use and use.counts_HE else None)
            mirror.finish("finished")


def _build_trainer(job: _Job, run_dir: RunDir, hooks: Sequence[Hook]) -> Trainer:
    config = job.config
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs)
    if job.start is not None:
        job.start.load_into(model)
    scorer = build_scorer(config)
    sharing = job.workspace.settings.sharing
    return Trainer(config, model, scorer, job.dataset, job.setup, run_dir, hooks, ranks(), sharing)


def _describe(job: _Job) -> str:
    sharing = job.workspace.settings.sharing
    return describe(job.config, job.workspace.data_dir, job.setup, sharing)


def _end(run_dir: RunDir, mirror: Mirror, ending: _Ending, step: int) -> None:
    """Close an attempt without a result, then update the index from its directory."""
    run_dir.close(ending.state, step, ending.reason, ending.cause)
    mirror.finish(ending.state)


def _as_lab_error(error: BaseException, path: Path, addresses: Sequence[str]) -> BaseException:
    """Convert an error to one of the lab's; interruptions and the lab's own errors pass unchanged.

    Args:
        error: What ended training.
        path: The run's directory.
        addresses: Addresses whose secrets are masked.
    """
    if isinstance(error, LabError) or not isinstance(error, Exception):
        return error
    if isinstance(error, OSError):
        failure = write_error(path, None, error)
        if isinstance(failure, StorageError):
            return failure
    is_out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
    reason = mask_passwords(f"{type(error).__name__}: {error}", *addresses)
    return TrainingError(reason, "out of memory" if is_out_of_memory else "other")


def _ending_of(error: BaseException) -> _Ending:
    """Return how an attempt ended that raised an error."""
    if isinstance(error, KeyboardInterrupt):
        return _Ending("interrupted", str(error) or "interrupted by the user or the system")
    if isinstance(error, StorageError | RankLostError):
        return _Ending("interrupted", str(error))
    return _Ending("failed", str(error), getattr(error, "cause", "other"))


def _collect_provenance(job: _Job) -> Provenance:
    """Return the attempt's provenance, with what changed since earlier attempts.

    Raises:
        DriftError: If conditions changed and drift is not allowed.
    """
    collected = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=job.dataset.describe(),
        device={**job.setup.facts, "n_ranks": ranks().n_ranks},
        command=sys.argv,
        addresses=job.workspace.addresses,
    )
    plugins = plugins_of(job.config)
    values = {
        **collected.values,
        "plugins": [{"name": plugin.name, "sha256": plugin.sha256} for plugin in plugins],
        CODE_KEY: code_of(job.config).as_data(),
    }
    if job.start is not None:
        values["initial_weights"] = job.start.as_data()
    values["drift"] = _require_no_drift(job, values)
    return replace(collected, values=values)


def _open_run_dir(job: _Job, provenance: Provenance, unsynced_mark: str) -> RunDir:
    """Record configuration and provenance before training starts."""
    return RunDir.open(
        job.workspace.runs_dir,
        job.config,
        job.labels,
        provenance.values,
        provenance.uncommitted_diff,
        unsynced_mark=unsynced_mark,
    )


def _require_no_drift(job: _Job, provenance: Mapping[str, Any]) -> list[str]:
    """Return all drift so far, one line per change.

    Raises:
        DriftError: If conditions changed since the latest attempt, there is a checkpoint to resume
            from, and drift is not allowed.
    """
    path = find_by_config(job.workspace.runs_dir, job.config)
    if path is None or not any((path / CHECKPOINTS_DIR).glob("step-*")):
        return []
    before = read_run(path).provenance
    drift = find_drift(before, provenance)
    if drift and not job.policy.allows_drift:
        raise DriftError(
            f"{path}: cannot be resumed because conditions changed: {'; '.join(drift)}. Restore "
            "them, start over with --retrain, or pass --allow-drift to resume anyway; reports will "
            "mention it"
        )
    return [*before.get("drift", []), *drift]


class _MirrorHook:
    """Forwards points to the index."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def observe(self, point: MetricPoint) -> None:
        self._mirror.add(point)


def _result(
    path: Path, job: _Job, trainer: Trainer, progress: Progress, validation: SplitScore
) -> RunResult:
    config = job.config
    points = list(read_run(path).metrics())
    ms_per_step = statistics.median(
        point.metrics["train/ms_per_step"]
        for point in points
        if "train/ms_per_step" in point.metrics
    )
    n_parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    assert n_parameters == count_parameters(config.model, config.vocab_size, config.n_outputs).total
    return RunResult(
        validation=_measured(job, "validation", validation),
        test=_measured(job, "test", trainer.score("test")),
        n_parameters=n_parameters,
        n_steps=progress.step,
        n_tokens=progress.tokens,
        ms_per_step=ms_per_step,
        tokens_per_second=1e3 * config.tokens_per_step / ms_per_step,
        training_seconds=progress.seconds,
        device=job.setup.description,
        precision=job.setup.precision,
    )


def _measured(job: _Job, split: Split, score: SplitScore) -> dict[str, float | None]:
    totals = replace(score.totals, n_bytes=job.dataset.n_bytes(split))
    return dict(job.config.objective.measure(totals))
