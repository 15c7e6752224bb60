"""What is on disk about a run: its directory is the truth, everything else an index over it.

runs/<name>/config.toml       resolved configuration; its hash is the run's identity
runs/<name>/labels.json       names under which the run was asked for
runs/<name>/provenance.json   commit, dirty diff, versions, host, data manifest: latest attempt
runs/<name>/attempts/<n>/     the same of each attempt, from 1
runs/<name>/metrics.jsonl     one line per MetricPoint
runs/<name>/status.json       RunStatus
runs/<name>/router_use.json   how often each expert was chosen on the validation split
runs/<name>/result.json       RunResult, written last: where it exists, the run is finished
"""

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

from switchhead_lab.config.files import near_miss, parse, read_toml
from switchhead_lab.config.identity import identity
from switchhead_lab.config.names import is_entry_name, require_model_name
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, FailureCause, LabError, RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.metrics import LOSS, Metric
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.record_files import is_there, read_json, read_model, unreadable

ScoredSplit = Literal["validation", "test"]
SCORED_SPLITS: tuple[ScoredSplit, ...] = get_args(ScoredSplit)
RunState = Literal["running", "finished", "failed", "pruned", "interrupted"]

CONFIG_FILE = "config.toml"
LABELS_FILE = "labels.json"
PROVENANCE_FILE = "provenance.json"
DIFF_FILE = "uncommitted.diff"
METRICS_FILE = "metrics.jsonl"
STATUS_FILE = "status.json"
RESULT_FILE = "result.json"
ROUTER_USE_FILE = "router_use.json"
MLFLOW_LINK_FILE = "mlflow.json"
ATTEMPTS_DIR = "attempts"
UNSYNCED_FILE = "unsynced"
CHECKPOINTS_DIR = "checkpoints"
PLUGINS_DIR = "plugins"


class RunLabels(FrozenModel):
    """Names for people; they do not enter the identity."""

    size: str
    """Size of the sweep, or "custom"."""
    variant: str
    """Name of the model within its comparison."""
    sweep: str = ""
    """Name of the sweep that asked for the run first; empty for a run on its own."""


class RunStatus(FrozenModel):
    """The status of a run."""

    state: RunState
    """What became of the latest attempt."""
    attempt: int
    """Times the run was started, 1 for the first."""
    step: int = 0
    """Steps done when the status was written."""
    pid: int
    """Process of the latest attempt."""
    host: str
    """Machine of the latest attempt."""
    started_at: float
    """Start of the latest attempt, seconds since 1970."""
    first_started_at: float | None = None
    """Start of the first attempt, seconds since 1970; null in records that do not have it."""
    ended_at: float | None = None
    """End of the latest attempt, seconds since 1970."""
    reason: str = ""
    """Why the run failed, was pruned or interrupted."""
    cause: FailureCause = ""
    """Kind of a failure; empty unless the run failed."""


class RunResult(FrozenModel):
    """Figures of a finished run, all measured by it.

    On disk the metrics of a split are keys of their own, `validation_<metric>` and `test_<metric>`.
    """

    @model_validator(mode="before")
    @classmethod
    def _gather_metrics(cls, values: Any) -> Any:
        """Put the metrics of each split into a table of its own."""
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
    """The objective's metrics of the validation split after the last step, by name."""
    test: dict[str, float | None]
    """The same of the test split; never used to choose."""
    n_parameters: int
    """Parameters of the built model."""
    n_steps: int
    """Optimiser steps."""
    n_tokens: int
    """Tokens read in training, padding included."""
    ms_per_step: float
    """Median wall time of an optimiser step, milliseconds."""
    tokens_per_second: float
    """Tokens of a step over the median step time."""
    training_seconds: float
    """Wall time of all attempts' steps, validation left out."""
    device: str
    """Device and its name."""
    precision: Literal["bf16", "fp32"]
    """Arithmetic of the products."""

    def value(self, split: ScoredSplit, metric: Metric) -> float | None:
        """Return a metric of a split; None where the run did not measure it."""
        metrics = self.validation if split == "validation" else self.test
        value = metrics.get(metric.name)
        return metric.null if value is None and metric.name in metrics else value


@dataclass(frozen=True)
class MetricPoint:
    """Metrics at one moment of training.

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
    """A run as read from its directory.

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
        """Yield the recorded points in order; a torn last line is left out."""
        return read_metrics(self.directory / METRICS_FILE)


def run_name(config: RunConfig, labels: RunLabels) -> str:
    """Return the name of a run: `<corpus>-<size>-<variant>-<positions>-lr<rate>-<seed>-<hash8>`.

    Raises:
        ConfigError: If a label cannot be part of a file name.
    """
    return "-".join(
        [
            config.data.corpus,
            require_model_name(labels.size, "size"),
            require_model_name(labels.variant, "model name"),
            config.model.positions.abbreviation,
            f"lr{config.training.learning_rate:g}",
            str(config.seed),
            identity(config)[:8],
        ]
    )


def read_run(directory: Path) -> RunRecord:
    """Read a run directory.

    Raises:
        RecordError: If it is not a run directory or a file in it is damaged or unreadable.
        ConfigError: If its configuration does not fit the schema any more.
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
    """Return what can be said of a run whose status is missing or damaged."""
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
        RecordError: If it is not a run directory or may not be read.
        ConfigError: If the configuration does not fit the schema any more.
    """
    path = directory / CONFIG_FILE
    if not is_there(path):
        raise RecordError(f"{directory}: not a run directory (no {CONFIG_FILE})")
    try:
        return parse(RunConfig, read_toml(path), str(path))
    except ConfigError as error:
        kept = sorted((directory / PLUGINS_DIR).glob("*.py"))
        if not kept:
            raise
        raise ConfigError(
            f"{error}; the run was trained with a plugin, kept as {', '.join(map(str, kept))}: "
            "name it in `plugins` of lab.toml"
        ) from None


def warn_of_damage(error: LabError) -> None:
    """Tell on stderr, in one line, that a run directory is left out."""
    tell(f"warning: left out: {' '.join(str(error).split())}")


def list_runs(
    runs_dir: Path, on_damage: Callable[[LabError], None] = warn_of_damage
) -> list[RunRecord]:
    """Return every readable run below `runs_dir`, by time of start.

    Args:
        runs_dir: Folder of all runs.
        on_damage: Called with the error of each run directory that cannot be read.
    """
    runs = []
    for path in sorted(runs_dir.glob("*/")):
        try:
            # A directory that is just being made has neither.
            if is_there(path / STATUS_FILE) or is_there(path / RESULT_FILE):
                runs.append(read_run(path))
        except LabError as error:
            on_damage(error)
    return sorted(runs, key=lambda run: (run.status.started_at, run.name))


def find_run(runs_dir: Path, reference: str) -> RunRecord:
    """Find a run by its name, the start of its hash, or a model's name that one run has.

    Raises:
        RecordError: If there is none, or more than one, or the reference is a path.
    """
    if not is_entry_name(reference):
        raise RecordError(
            f'"{reference}" names no run; give a run\'s name or the start of its hash, not a path; '
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
            f'"{reference}" fits several runs: {names}; give the name or the hash of one'
        )
    hint = near_miss(reference, [run.name for run in runs])
    raise RecordError(f'no run "{reference}"{hint} in {runs_dir}; see `lab runs list`')


def find_by_config(runs_dir: Path, config: RunConfig) -> Path | None:
    """Return the directory of the run with this configuration, if it was ever started."""
    return find_directory(runs_dir, identity(config))


def find_directory(runs_dir: Path, run_hash: str) -> Path | None:
    """Return the directory of the run with this identity, if it was ever started.

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
    """Return the status of a run directory; None where it is missing or damaged."""
    try:
        return read_model(RunStatus, directory / STATUS_FILE)
    except RecordError:
        return None


def read_metrics(path: Path) -> Iterator[MetricPoint]:
    """Yield the points of a metrics file; a torn last line (a killed writer's) is left out.

    Raises:
        RecordError: If a whole line is not a point, or the file may not be read.
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
                raise RecordError(f"{path}: line {number} is damaged; cut it off there") from None
            yield point


def read_mlflow_link(directory: Path) -> dict[str, str] | None:
    """Return `run_id`, `experiment_id` and `tracking_uri` of a run, without asking MLflow."""
    try:
        return dict(read_json(directory / MLFLOW_LINK_FILE))
    except (RecordError, TypeError, ValueError):  # only an index: without it there is no link
        return None
