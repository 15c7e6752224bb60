"""The record of a run: its directory is the source of truth, all else an index."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from switchhead_lab.config.files import near_miss, read_as
from switchhead_lab.config.identity import identity
from switchhead_lab.config.names import is_entry_name, require_model_name
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, FailureCause, LabError, RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.metrics import LOSS, Metric
from switchhead_lab.terminal import tell

# Re-exported for modules that train runs.
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR as CHECKPOINTS_DIR
from switchhead_lab.tracking.file_names import (
    CONFIG_FILE,
    LABELS_FILE,
    METRICS_FILE,
    MLFLOW_LINK_FILE,
    PLUGINS_DIR,
    PROVENANCE_FILE,
    RESULT_FILE,
    STATUS_FILE,
)
from switchhead_lab.tracking.record_files import is_there, read_json, read_model, unreadable

ScoredSplit = Literal["validation", "test"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = get_args(ScoredSplit)
RunState = Literal["running", "finished", "failed", "pruned", "interrupted"]


class RunLabels(FrozenModel):
    """Display names; they are not part of the identity."""

    size: str
    """Size of the sweep, or "custom"."""
    variant: str
    """Name of the model within its comparison."""
    sweep: str = ""
    """Name of the sweep that first requested the run; empty for a standalone run."""


class RunStatus(FrozenModel):
    """The status of a run."""

    state: RunState
    """State of the latest attempt."""
    attempt: int
    """Number of the latest attempt, from 1."""
    step: int = 0
    """Steps done when the status was written."""
    pid: int
    """PID of the latest attempt."""
    host: str
    """Host of the latest attempt."""
    started_at: float
    """Start of the latest attempt, seconds since 1970."""
    first_started_at: float | None = None
    """Start of the first attempt, seconds since 1970; null in older records."""
    ended_at: float | None = None
    """End of the latest attempt, seconds since 1970."""
    reason: str = ""
    """Why the run failed, was pruned or was interrupted."""
    cause: FailureCause = ""
    """Kind of failure; empty unless the run failed."""


class RunResult(FrozenModel):
    """Measured figures of a finished run.

    On disk, the metrics of a split are flat keys: `validation_<metric>` and `test_<metric>`.
    """

    @model_validator(mode="before")
    @classmethod
    def _gather_metrics(cls, values: Any) -> Any:
        """Collect the flat metrics of each split into a table."""
        if not isinstance(values, dict) or set(SCORED_SPLITS) <= set(values):
            return values
        gathered = dict(values)
        for split in SCORED_SPLITS:
            prefix = f"{split}_"
            names = [name for name in gathered if name.startswith(prefix)]
            gathered[split] = {name.removeprefix(prefix): gathered.pop(name) for name in names}
        return gathered

    @model_serializer(mode="wrap")
    def _spread_metrics(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        spread = {
            f"{split}_{name}": value
            for split in SCORED_SPLITS
            for name, value in values.pop(split).items()
        }
        return {**spread, **values}

    @field_validator("validation", "test")
    @classmethod
    def _has_a_loss(cls, metrics: dict[str, float | None]) -> dict[str, float | None]:
        if not isinstance(metrics.get(LOSS.name), float):
            raise ValueError(f"{LOSS.name} is missing")
        return metrics

    validation: dict[str, float | None]
    """The objective's metrics on the validation split after the last step, by name."""
    test: dict[str, float | None]
    """The same on the test split; never used for selection."""
    n_parameters: int
    """Parameters of the built model."""
    n_steps: int
    """Optimiser steps."""
    n_tokens: int
    """Training tokens read, padding included."""
    ms_per_step: float
    """Median wall time of an optimiser step, milliseconds."""
    tokens_per_second: float
    """Tokens per step over the median step time."""
    training_seconds: float
    """Wall time of all attempts' steps, without validation."""
    device: str
    """Type and name of the device."""
    precision: Literal["bf16", "fp32"]
    """Precision of matmuls."""

    def value(self, split: ScoredSplit, metric: Metric) -> float | None:
        """Return a metric on a split; None if the run did not measure it."""
        metrics = self.validation if split == "validation" else self.test
        value = metrics.get(metric.name)
        return metric.null if value is None and metric.name in metrics else value


@dataclass(frozen=True)
class MetricPoint:
    """Metrics at one step of training.

    Attributes:
        step: Optimiser steps done.
        tokens: Training tokens read so far, padding included.
        time: Seconds since 1970.
        metrics: Finite values by name, e.g. "train/loss_nats", "validation/perplexity".
    """

    step: int
    tokens: int
    time: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class RunRecord:
    """A run, read from its directory.

    Attributes:
        directory: The run's directory, named after the run.
        run_hash: Identity of `config`, 64 hex digits.
        result: None unless the run finished.
    """

    directory: Path
    run_hash: str
    labels: RunLabels
    config: RunConfig
    status: RunStatus
    result: RunResult | None
    provenance: dict[str, Any]

    @property
    def name(self) -> str:
        """The run's name; see `run_name`."""
        return self.directory.name

    def metrics(self) -> Iterator[MetricPoint]:
        """Yield the recorded points in order; a truncated last line is skipped."""
        return read_metrics(self.directory / METRICS_FILE)


def run_name(config: RunConfig, labels: RunLabels, run_hash: str = "") -> str:
    """Return the name of a run: `<corpus>-<size>-<variant>-<positions>-lr<rate>-<seed>-<hash8>`.

    Args:
        config: Resolved configuration.
        labels: Names for the run's directory.
        run_hash: Identity of the configuration, if it is known already.

    Raises:
        ConfigError: If a label cannot be part of a file name.
    """
    return "-".join(
        [
            config.data.corpus,
            require_model_name(labels.size, "size"),
            require_model_name(labels.variant, "model name"),
            config.model.positions.abbreviation,
            f"lr{config.training.learning_rate:.3g}",
            str(config.seed),
            (run_hash or identity(config))[:8],
        ]
    )


def read_run(directory: Path) -> RunRecord:
    """Read a run directory.

    Raises:
        RecordError: If it is not a run directory or a file in it is damaged or unreadable.
        ConfigError: If its configuration no longer fits the schema.
    """
    config = read_config(directory)
    result_path = directory / RESULT_FILE
    result = read_model(RunResult, result_path) if result_path.is_file() else None
    return RunRecord(
        directory=directory,
        run_hash=identity(config),
        labels=read_model(RunLabels, directory / LABELS_FILE),
        config=config,
        status=read_status(directory) or _unknown_status(directory, result),
        result=result,
        provenance=read_json(directory / PROVENANCE_FILE),
    )


def _unknown_status(directory: Path, result: RunResult | None) -> RunStatus:
    """Return a substitute for a status that is missing or damaged."""
    return RunStatus(
        state="interrupted" if result is None else "finished",
        attempt=1,
        step=0 if result is None else result.n_steps,
        pid=0,
        host="unknown",
        started_at=(directory / CONFIG_FILE).stat().st_mtime,
        reason=f"{STATUS_FILE} is missing or damaged",
    )


def read_config(directory: Path) -> RunConfig:
    """Read the configuration of a run directory.

    Raises:
        RecordError: If it is not a run directory or is not readable.
        ConfigError: If the configuration no longer fits the schema.
    """
    path = directory / CONFIG_FILE
    if not is_there(path):
        raise RecordError(f"{directory}: not a run directory (no {CONFIG_FILE})")
    try:
        return read_as(RunConfig, path)
    except ConfigError as error:
        kept = sorted((directory / PLUGINS_DIR).glob("*.py"))
        if not kept:
            raise
        raise ConfigError(
            f"{error}; the run was trained with a plugin, kept as {', '.join(map(str, kept))}: "
            "add it to `plugins` in lab.toml"
        ) from None


def warn_of_damage(error: LabError) -> None:
    """Warn on stderr, in one line, that something damaged is skipped."""
    tell(f"warning: skipped: {' '.join(str(error).split())}")


def list_runs(
    runs_dir: Path, on_damage: Callable[[LabError], None] = warn_of_damage
) -> list[RunRecord]:
    """Return all readable runs in `runs_dir`, by start time.

    Args:
        runs_dir: Folder of all runs.
        on_damage: Called with the error of each run directory that cannot be read.
    """
    runs = []
    for path in sorted(runs_dir.glob("*/")):
        try:
            # A directory that is being created has neither.
            if is_there(path / STATUS_FILE) or is_there(path / RESULT_FILE):
                runs.append(read_run(path))
        except LabError as error:
            on_damage(error)
    return sorted(runs, key=lambda run: (run.status.started_at, run.name))


def find_run(runs_dir: Path, reference: str) -> RunRecord:
    """Find a run by its name, the start of its hash, or a model name that only one run has.

    Raises:
        RecordError: If no run or several match, or the reference is a path.
    """
    if not is_entry_name(reference):
        raise RecordError(
            f'"{reference}" is not a run; give a run\'s name or the start of its hash, not a path; '
            "see `lab runs list`"
        )
    if is_there(runs_dir / reference / CONFIG_FILE):
        return read_run(runs_dir / reference)
    runs = list_runs(runs_dir)
    found = [run for run in runs if run.run_hash.startswith(reference)]
    found = found or [run for run in runs if run.labels.variant == reference]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(run.name for run in found)
        raise RecordError(
            f'"{reference}" matches several runs: {names}; give the name or hash of one'
        )
    hint = near_miss(reference, [run.name for run in runs])
    raise RecordError(f'no run "{reference}"{hint} in {runs_dir}; see `lab runs list`')


def find_by_config(runs_dir: Path, config: RunConfig) -> Path | None:
    """Return the directory of the run with this configuration; None if never started."""
    return find_directory(runs_dir, identity(config))


def find_directory(runs_dir: Path, run_hash: str) -> Path | None:
    """Return the directory of the run with this identity; None if never started.

    Raises:
        RecordError: If a candidate directory is unreadable or its configuration damaged.
    """
    for path in sorted(runs_dir.glob(f"*-{run_hash[:8]}/")):
        if not is_there(path / CONFIG_FILE):
            continue
        try:
            config = read_config(path)
        except ConfigError as error:
            raise RecordError(f"{error}; restore the file or move {path} away") from None
        if identity(config) == run_hash:
            return path
    return None


def read_status(directory: Path) -> RunStatus | None:
    """Return the status of a run directory; None if it is missing or damaged."""
    try:
        return read_model(RunStatus, directory / STATUS_FILE)
    except RecordError:
        return None


def read_metrics(path: Path) -> Iterator[MetricPoint]:
    """Yield the points of a metrics file; a truncated last line (from a killed writer) is skipped.

    Raises:
        RecordError: If a complete line is not a point, or the file is not readable.
    """
    if not is_there(path):
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from None
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                point = MetricPoint(**json.loads(line))
            except (ValueError, TypeError):
                raise RecordError(
                    f"{path}: line {number} is damaged; truncate the file there"
                ) from None
            yield point


def read_mlflow_link(directory: Path) -> dict[str, str] | None:
    """Return `run_id`, `experiment_id` and `tracking_uri` of a run, without querying MLflow."""
    try:
        return dict(read_json(directory / MLFLOW_LINK_FILE))
    except (RecordError, TypeError, ValueError):  # only an index: a damaged link counts as none
        return None
