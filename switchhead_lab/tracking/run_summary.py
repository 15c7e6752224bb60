"""Run summaries: figures of each run for listings, or everything about one run."""

import contextlib
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import near_miss
from switchhead_lab.errors import RecordError
from switchhead_lab.objectives.metrics import Metric
from switchhead_lab.objectives.registry import objectives
from switchhead_lab.tracking import record as files
from switchhead_lab.tracking.liveness import is_orphaned, observed_state
from switchhead_lab.tracking.record import (
    SCORED_SPLITS,
    RunRecord,
    RunResult,
    RunState,
    read_mlflow_link,
)
from switchhead_lab.tracking.sweep_dir import list_sweep_records
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.tracking.unsynced import is_unsynced


@dataclass(frozen=True)
class RunSummary:
    """A run in a listing; figures are None until the run is finished.

    Attributes:
        name: The run's name.
        run_hash: Its identity.
        state: Its state; "interrupted" if its status is "running" but its process is gone.
        is_process_gone: Whether its process is gone although its status is "running".
        step: Optimiser steps done.
        n_steps: Optimiser steps configured.
        headline: The objective's headline metric.
        metrics: `validation_<metric>` and `test_<metric>` of all registered metrics; None for those
            of other objectives.
        n_parameters: Parameters of the built model.
        ms_per_step: Median wall time of an optimiser step, milliseconds.
        started_at: Start of the latest attempt, seconds since 1970.
        is_unsynced: Whether MLflow's copy is incomplete or not verified.
    """

    name: str
    run_hash: str
    state: RunState
    is_process_gone: bool
    step: int
    n_steps: int
    headline: Metric
    metrics: dict[str, float | None]
    n_parameters: int | None
    ms_per_step: float | None
    started_at: float
    is_unsynced: bool

    def as_data(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        data = asdict(self)
        metrics = data.pop("metrics")
        del data["headline"]
        return {**data, **metrics}


def summarise_run(record: RunRecord) -> RunSummary:
    """Return the figures of a run for listings."""
    result = record.result
    return RunSummary(
        name=record.name,
        run_hash=record.run_hash,
        state=observed_state(record),
        is_process_gone=is_orphaned(record),
        step=steps_done(record),
        n_steps=record.config.training.n_steps,
        headline=record.config.objective.headline,
        metrics=_every_metric(result),
        n_parameters=result.n_parameters if result else None,
        ms_per_step=result.ms_per_step if result else None,
        started_at=record.status.started_at,
        is_unsynced=is_unsynced(record.directory),
    )


def steps_done(record: RunRecord) -> int:
    """Return the optimiser steps a run has done.

    The status of a running run has the step at which its attempt started; its points are newer.
    """
    step = record.status.step
    if record.status.state == "running":
        with contextlib.suppress(RecordError):  # damaged line: use the points before it
            for point in record.metrics():
                step = max(step, point.step)
    return step


def select_runs(
    runs: Iterable[RunRecord], runs_dir: Path, *, sweep: str = "", state: str = ""
) -> list[RunRecord]:
    """Return the runs of a sweep and with a state.

    Args:
        runs: Runs to choose from.
        runs_dir: Folder of all runs, which holds the sweep records.
        sweep: Name or id of a sweep; empty keeps all.
        state: State as in `summarise_run`; empty keeps all.

    Raises:
        RecordError: If there is no such sweep or no such state.
    """
    runs = list(runs)
    if sweep:
        runs = _runs_of_sweep(runs, runs_dir, sweep)
    if not state:
        return runs
    states = typing.get_args(RunState)
    if state not in states:
        raise RecordError(
            f'no state "{state}"{near_miss(state, states)}; states: {", ".join(states)}'
        )
    return [run for run in runs if observed_state(run) == state]


def _runs_of_sweep(runs: list[RunRecord], runs_dir: Path, sweep: str) -> list[RunRecord]:
    known = {run.labels.sweep for run in runs if run.labels.sweep}
    members: set[str] = set()
    for record in list_sweep_records(runs_dir):
        names = {record.sweep.name, sweep_id(record.sweep)}
        known |= names
        if sweep in names:
            members.update(member.run_hash for member in record.members)
    if sweep not in known:
        hint = near_miss(sweep, sorted(known))
        raise RecordError(f'no runs of a sweep "{sweep}"{hint} in {runs_dir}')
    return [run for run in runs if run.run_hash in members or run.labels.sweep == sweep]


def run_as_data(record: RunRecord) -> dict[str, Any]:
    """Return everything about a run as plain data."""
    return {
        "name": record.name,
        "run_hash": record.run_hash,
        "state": observed_state(record),
        "labels": record.labels.model_dump(mode="json"),
        "config": record.config.model_dump(mode="json"),
        "status": record.status.model_dump(mode="json"),
        "result": record.result.model_dump(mode="json") if record.result else None,
        "provenance": record.provenance,
        "mlflow": read_mlflow_link(record.directory),
        "paths": run_paths(record),
    }


def _every_metric(result: RunResult | None) -> dict[str, float | None]:
    """Return the metrics of all objectives, so that all runs have the same keys."""
    metrics = {m.name: m for objective in objectives().values() for m in objective.all_metrics()}
    return {
        f"{split}_{name}": result.value(split, metric) if result else None
        for name, metric in metrics.items()
        for split in SCORED_SPLITS
    }


def run_paths(record: RunRecord) -> dict[str, str]:
    """Return the directory and existing files of a run, by content."""
    names = {
        "metrics": files.METRICS_FILE,
        "checkpoints": files.CHECKPOINTS_DIR,
        "uncommitted diff": files.DIFF_FILE,
    }
    existing = {key: record.directory / name for key, name in names.items()}
    return {"directory": str(record.directory)} | {
        key: str(path) for key, path in existing.items() if path.exists()
    }
