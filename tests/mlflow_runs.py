"""Look-ups of runs in MLflow, and their comparison with the disk."""

from pathlib import Path
from typing import Any

from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_copy import copy_of_run, differences
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunRecord, read_mlflow_link, read_run
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id


def all_runs(store: MlflowStore) -> list[Any]:
    """Return the runs and parent runs of the experiment."""
    return list(store.client.search_runs([store.experiment_id]))


def runs_with(store: MlflowStore, tag: str, value: str) -> list[Any]:
    """Return the runs with a tag of this value."""
    return [run for run in all_runs(store) if run.data.tags.get(tag) == value]


def find_run(store: MlflowStore, record: RunRecord) -> Any:
    """Return the one MLflow run of a run."""
    (run,) = runs_with(store, "lab.run_hash", record.run_hash)
    return run


def find_sweep(store: MlflowStore, record: SweepRecord) -> Any:
    """Return the one parent run of a sweep."""
    (run,) = runs_with(store, "lab.sweep_id", sweep_id(record.sweep))
    return run


def parent_of(store: MlflowStore, record: RunRecord) -> str | None:
    """Return the id of a run's parent run."""
    return find_run(store, record).data.tags.get("mlflow.parentRunId")


def history(store: MlflowStore, run_id: str, key: str) -> list[tuple[int, float]]:
    """Return a metric's steps and values."""
    metrics = store.client.get_metric_history(run_id, key)
    return [(metric.step, metric.value) for metric in metrics]


def assert_mirrored(store: MlflowStore, directory: Path) -> Any:
    """Check MLflow's copy of a run that belongs to no sweep; return the MLflow run."""
    record = read_run(directory)
    run = find_run(store, record)
    disk = copy_of_run(record, None, observed_state(record))
    assert differences(disk, store.read(run)) == []
    link = read_mlflow_link(directory)
    assert link is not None
    assert link["run_id"] == run.info.run_id
    return run
