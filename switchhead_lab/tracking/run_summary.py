"""Run summaries: figures of each run for listings, or everything about one run."""

import contextlib
from typing import Any

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking import file_names as files
from switchhead_lab.tracking.liveness import is_orphaned, observed_state
from switchhead_lab.tracking.record import SCORED_SPLITS, RunRecord, read_mlflow_link
from switchhead_lab.tracking.run_listing import RunSummary
from switchhead_lab.tracking.unsynced import is_unsynced


def summarise_run(record: RunRecord) -> RunSummary:
    """Return the figures of a run for listings."""
    result, metric = record.result, record.config.objective.headline
    values = {split: result.value(split, metric) if result else None for split in SCORED_SPLITS}
    return RunSummary(
        name=record.name,
        run_hash=record.run_hash,
        sweep=record.labels.sweep,
        state=observed_state(record),
        is_process_gone=is_orphaned(record),
        step=steps_done(record),
        n_steps=record.config.training.n_steps,
        headlines={
            split: f"{metric.short_label} {metric.text(value)}"
            for split, value in values.items()
            if value is not None
        },
        metrics=_metrics(record),
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


def _metrics(record: RunRecord) -> dict[str, float | None]:
    """Return the metrics of the run's objective on both splits; empty without a result."""
    if record.result is None:
        return {}
    metrics = record.config.objective.all_metrics()
    return {
        f"{split}_{metric.name}": record.result.value(split, metric)
        for metric in metrics
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
