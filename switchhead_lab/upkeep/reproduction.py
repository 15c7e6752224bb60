"""Reproducing a run: it is trained again in a scratch folder, and compared with its record."""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import ConfigError, LabError, RecordError, TrainingError
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import (
    SCORED_SPLITS,
    MetricPoint,
    RunRecord,
    RunResult,
    find_directory,
    read_run,
)
from switchhead_lab.training.hooks import Prune
from switchhead_lab.training.run import execute_run
from switchhead_lab.upkeep.conditions import Conditions, compare_conditions
from switchhead_lab.upkeep.recorded_run import RecordedRun

# Wall times, which no two trainings share.
_TIMINGS = ("train/ms_per_step", "train/tokens_per_second")


@dataclass(frozen=True)
class Difference:
    """The first value that differs from the record.

    Attributes:
        step: Optimiser steps done.
        metric: Name of the metric, such as "train/loss_nats".
        recorded: The recorded value; None if the record lacks it.
        found: The new value; None if training did not give it.
    """

    step: int
    metric: str
    recorded: float | None
    found: float | None


@dataclass(frozen=True)
class Reproduction:
    """A run compared with its record.

    Attributes:
        run: Name of the run.
        steps: Optimiser steps that were compared.
        n_points: Recorded points up to that step.
        n_equal: How many of them are bitwise equal, from the first.
        compares_result: Whether the final scores were compared too.
        difference: The first value that differs; None if none does.
        failure: Why training ended early; empty if it did not.
        conditions: What has changed since the run.
    """

    run: str
    steps: int
    n_points: int
    n_equal: int
    compares_result: bool
    difference: Difference | None
    failure: str
    conditions: Conditions

    @property
    def is_identical(self) -> bool:
        """Whether everything compared is equal."""
        return self.difference is None and self.n_equal == self.n_points


def recorded_points(run: RunRecord, n_steps: int | None) -> list[MetricPoint]:
    """Return the points of a run to compare with.

    Args:
        run: The run.
        n_steps: Only points up to this step; None for all.

    Raises:
        ConfigError: If the run has no point up to that step, or fewer steps.
        RecordError: If the run has no points, or they are damaged.
    """
    points = list(run.metrics())
    if not points:
        raise RecordError(
            f"{run.directory}: no step is recorded, so there is nothing to compare with; name a "
            "run that was trained"
        )
    if n_steps is None:
        return points
    first, last = points[0].step, points[-1].step
    if not first <= n_steps <= last:
        raise ConfigError(
            f"--steps {n_steps}: {run.name} has points from step {first} to step {last}; use a "
            "number in that range"
        )
    return [point for point in points if point.step <= n_steps]


def reproduce(
    workspace: Workspace, opened: RecordedRun, points: Sequence[MetricPoint], device: str = ""
) -> Reproduction:
    """Train a run again in a scratch folder until a value differs or all points are compared.

    Neither the run's directory nor MLflow is written to; the learning rate follows the full
    schedule whatever the number of points.

    Args:
        workspace: Workspace of the run.
        opened: The run.
        points: What `recorded_points` returned.
        device: Device to train on; by default that of the record, if it is available.

    Raises:
        ConfigError: If the device does not support the configuration.
        DataError: If the data cannot be prepared or are damaged.
        RecordError: If the source of initial weights is missing or changed.
        StorageError: If the scratch folder, in TMPDIR, has no space for checkpoints.
    """
    run = opened.record
    result = run.result if points[-1].step == run.config.training.n_steps else None
    comparison = _Comparison(points, stops_at_end=result is None)
    failure, again = "", None
    with tempfile.TemporaryDirectory(prefix="lab-reproduce-") as folder:
        scratch = _scratch_workspace(workspace, run, Path(folder), device)
        conditions = compare_conditions(scratch, run, opened.notes)
        try:
            again = execute_run(
                scratch, run.config, run.labels, index=NoIndex(), hooks=[comparison]
            ).result
        except _ComparedError:
            pass
        except TrainingError as error:
            failure = str(error)
    difference = comparison.difference
    if difference is None and not failure and result is not None:
        assert again is not None, "a run that is not stopped has a result"
        difference = next(_differing_scores(run.config.training.n_steps, result, again), None)
    return Reproduction(
        run=run.name,
        steps=points[-1].step,
        n_points=len(points),
        n_equal=comparison.n_equal,
        compares_result=result is not None,
        difference=difference,
        failure=failure,
        conditions=conditions,
    )


class _ComparedError(LabError):
    """Ends training: nothing is left to compare."""


class _Comparison:
    """A hook that compares each point with the recorded one, and then ends training.

    Args:
        points: The recorded points.
        stops_at_end: Whether to end training after the last of them.
    """

    def __init__(self, points: Sequence[MetricPoint], *, stops_at_end: bool) -> None:
        self._points, self._stops_at_end = points, stops_at_end
        self.n_equal = 0
        self.difference: Difference | None = None

    def observe(self, point: MetricPoint) -> Prune | None:
        """Compare a point; raise `_ComparedError` once nothing is left to compare."""
        known = self._points[self.n_equal] if self.n_equal < len(self._points) else None
        self.difference = next(_differing_values(known, point), None)
        if self.difference is not None:
            raise _ComparedError
        self.n_equal += 1
        if self._stops_at_end and self.n_equal == len(self._points):
            raise _ComparedError
        return None


def _differing_values(known: MetricPoint | None, point: MetricPoint) -> Iterator[Difference]:
    """Yield the values in which a point differs from the recorded one."""
    if known is None or known.step != point.step:
        recorded: Mapping[str, float] = {}
    else:
        recorded = known.metrics
    for name in sorted({*recorded, *point.metrics} - {*_TIMINGS}):
        old, new = recorded.get(name), point.metrics.get(name)
        if old != new:
            yield Difference(point.step, name, old, new)


def _differing_scores(step: int, recorded: RunResult, found: RunResult) -> Iterator[Difference]:
    """Yield the final scores in which two results differ."""
    for split in SCORED_SPLITS:
        old, new = getattr(recorded, split), getattr(found, split)
        for name in sorted({*old, *new}):
            if not _is_equal(old.get(name), new.get(name)):
                yield Difference(step, f"{split}/{name}", old.get(name), new.get(name))


def _is_equal(first: float | None, second: float | None) -> bool:
    """Return whether two scores are equal; records hold values that are not finite as null."""
    values = [None if v is None or not math.isfinite(v) else v for v in (first, second)]
    return values[0] == values[1]


def _scratch_workspace(
    workspace: Workspace, run: RunRecord, folder: Path, device: str
) -> Workspace:
    """Return a workspace without runs or MLflow, with the data of another.

    Raises:
        RecordError: If the run whose weights this one starts from is missing.
    """
    runs_dir = make_directory(folder / "runs")
    initial = run.config.initial_weights
    if initial is not None:
        source = find_directory(workspace.runs_dir, initial.run)
        if source is None:
            raise RecordError(
                f"{run.directory}: starts from the weights of the run {initial.run[:8]}, which is "
                f"not in {workspace.runs_dir}; restore its directory"
            )
        (runs_dir / source.name).symlink_to(source.resolve(), target_is_directory=True)
        read_run(source)
    values = {
        "runs_dir": str(runs_dir),
        "data_dir": str(workspace.data_dir),
        "tracking_uri": "none",
        "device": device or _recorded_device(workspace, run),
    }
    return replace(workspace, root=folder, settings=workspace.settings.model_copy(update=values))


def _recorded_device(workspace: Workspace, run: RunRecord) -> str:
    """Return the kind of device that a run was trained on, or the workspace's if there is none."""
    from switchhead_lab.training.compute_setup import choose_device

    facts: dict[str, Any] = run.provenance.get("device") or {}
    try:
        return choose_device(str(facts.get("device", ""))).type
    except ConfigError:
        return workspace.settings.device
