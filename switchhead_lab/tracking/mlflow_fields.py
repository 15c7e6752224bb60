"""Parameters, tags and metrics of runs and sweeps in MLflow, as plain values."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.code_identity import recorded_code
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.evaluations import (
    HARNESS_NAMES,
    evaluation_dir,
    group_estimates,
    read_task_results,
)
from switchhead_lab.tracking.record import MetricPoint, RunRecord, RunState
from switchhead_lab.tracking.sweep_record import sweep_id

TAG_RUN_HASH = "lab.run_hash"
TAG_SWEEP_ID = "lab.sweep_id"
TAG_STATE = "lab.state"
TAG_WORKSPACE = "lab.workspace"
TAG_PARENT = "mlflow.parentRunId"
TAG_NAME = "mlflow.runName"
TAG_NOTE = "mlflow.note.content"
TAG_RUN_DIR = "lab.run_dir"
TAG_CHECKPOINTS = "lab.checkpoints"
TAG_RUN_NAME = "lab.run_name"
MAX_PARAM_CHARACTERS = 5_900  # MLflow silently truncates at 6,000
MAX_TAG_CHARACTERS = 7_900
CUT = " ... (cut)"
MLFLOW_STATUS: dict[RunState, str] = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
    "interrupted": "KILLED",
}


class MetricRow(NamedTuple):
    """One value of one metric, as MLflow stores it; equal rows are stored once."""

    key: str
    value: float
    timestamp_ms: int
    step: int


def params_of(config: BaseModel) -> dict[str, str]:
    """Flatten a configuration to dotted keys and short strings."""
    flat = flatten(config.model_dump(mode="json", exclude_none=True))
    texts = ((key, value if isinstance(value, str) else json.dumps(value)) for key, value in flat)
    return {key: cut(text, MAX_PARAM_CHARACTERS) for key, text in texts}


def run_tags(record: RunRecord, parent_id: str | None) -> dict[str, str]:
    """Return the tags by which a run is found in MLflow."""
    code = recorded_code(record.provenance)
    git = record.provenance.get("git") or {}
    data = record.provenance.get("data_manifest") or {}
    tags = {
        TAG_NAME: record.name,
        "mlflow.source.name": "lab",
        "mlflow.source.git.commit": git.get("commit"),
        TAG_PARENT: parent_id,
        TAG_RUN_HASH: record.run_hash,
        TAG_RUN_NAME: record.name,
        TAG_RUN_DIR: str(record.directory.resolve()),
        "lab.size": record.labels.size,
        "lab.variant": record.labels.variant,
        "lab.sweep": record.labels.sweep,
        "lab.corpus": record.config.data.corpus,
        "lab.seed": str(record.config.seed),
        "lab.attempt": str(record.status.attempt),
        "lab.git_commit": git.get("commit"),
        "lab.git_dirty": str(git["dirty"]).lower() if "dirty" in git else None,
        "lab.code": code.digest if code else None,
        "lab.data_digest": data.get("digest"),
    }
    return _cut_tags(tags)


def sweep_tags(sweep: Sweep) -> dict[str, str]:
    """Return the tags of a sweep's parent run."""
    name = sweep_id(sweep)
    tags = {
        TAG_NAME: name,
        TAG_SWEEP_ID: name,
        "lab.sweep": sweep.name,
        "lab.size": sweep.size,
        "lab.corpus": sweep.data.corpus,
        "lab.matching": sweep.matching,
    }
    return _cut_tags(tags)


def point_rows(point: MetricPoint) -> Iterator[MetricRow]:
    """Yield a point's metrics twice: over optimiser steps, and over tokens as `by_tokens/...`.

    Non-finite values are skipped: MLflow would store infinity as 1.8e308.
    """
    timestamp_ms = round(point.time * 1000)
    for name, value in point.metrics.items():
        if math.isfinite(value):
            yield MetricRow(name, float(value), timestamp_ms, point.step)
            yield MetricRow(f"by_tokens/{name}", float(value), timestamp_ms, point.tokens)


def result_rows(record: RunRecord) -> Iterator[MetricRow]:
    """Yield the numbers of a run's result as `result/...` at its last step.

    Metrics of zero-shot tasks are `evaluation/<group of tasks>/...`; claims name them so.

    Raises:
        RecordError: If a result of a task is damaged.
    """
    if record.result is None:
        return
    # A time recorded in the status, so that a replay produces identical rows.
    timestamp_ms = round((record.status.ended_at or record.status.started_at) * 1000)
    for name, value in record.result.model_dump().items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield MetricRow(f"result/{name}", float(value), timestamp_ms, record.result.n_steps)
    results = read_task_results(evaluation_dir(record.directory))
    for metric, harness_name in HARNESS_NAMES.items():
        for group, found in group_estimates(results, harness_name).items():
            for name, value in ((metric, found.value), (f"{metric}_stderr", found.stderr)):
                if value is not None:
                    key = f"evaluation/{group}/{name}"
                    yield MetricRow(key, value, timestamp_ms, record.result.n_steps)


def _cut_tags(tags: Mapping[str, str | None]) -> dict[str, str]:
    """Return the tags that have a value, shortened to MLflow's limit."""
    return {key: cut(value, MAX_TAG_CHARACTERS) for key, value in tags.items() if value}


def cut(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters, marked as cut."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT
