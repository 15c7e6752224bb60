"""What MLflow should hold for a run or sweep, and how its copy differs."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from switchhead_lab.tracking import file_names as files
from switchhead_lab.tracking.mlflow_fields import (
    MLFLOW_STATUS,
    TAG_NAME,
    TAG_NOTE,
    TAG_PARENT,
    TAG_RUN_HASH,
    TAG_RUN_NAME,
    TAG_STATE,
    TAG_SWEEP_ID,
    MetricRow,
    params_of,
    point_rows,
    result_rows,
    run_tags,
    sweep_tags,
)
from switchhead_lab.tracking.record import RunRecord, RunState
from switchhead_lab.tracking.sweep_dir import sweeps_dir
from switchhead_lab.tracking.sweep_record import SweepRecord

ARTIFACTS = (
    files.CONFIG_FILE,
    files.LABELS_FILE,
    files.PROVENANCE_FILE,
    files.DIFF_FILE,
    files.METRICS_FILE,
    files.RESULT_FILE,
    files.ROUTER_USE_FILE,
    files.STATUS_FILE,
)


@dataclass(frozen=True)
class MlflowCopy:
    """The content of an MLflow run that is derived from the disk.

    Attributes:
        status: State in MLflow's terms.
        start_ms: Start, milliseconds since 1970.
        end_ms: End, milliseconds since 1970; None while running.
        params: Parameters.
        tags: Tags; MLflow may hold more, for example a user's notes.
        rows: Metric values and their multiplicities.
        file_hashes: SHA-256 of each artifact by name.
        is_misplaced: Whether its artifacts are outside the workspace's artifact folder.
    """

    status: str
    start_ms: int
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    rows: Counter[MetricRow] = field(default_factory=Counter)
    file_hashes: Mapping[str, str] = field(default_factory=dict)
    is_misplaced: bool = False

    @property
    def name(self) -> str:
        """The run's name in MLflow."""
        return self.tags[TAG_NAME]


def copy_of_start(record: RunRecord, parent_id: str | None, state: RunState) -> MlflowCopy:
    """Return what is known at the start of a run: its copy without metrics and artifacts."""
    return MlflowCopy(
        status=MLFLOW_STATUS[state],
        start_ms=round((record.status.first_started_at or record.status.started_at) * 1000),
        end_ms=None,
        params=params_of(record.config),
        tags={**run_tags(record, parent_id), TAG_STATE: state},
    )


def copy_of_run(record: RunRecord, parent_id: str | None, state: RunState) -> MlflowCopy:
    """Return what MLflow should hold for a run directory.

    Args:
        record: The run.
        parent_id: MLflow's id of its sweep's parent run.
        state: State of the run; its status may not be updated yet.

    Raises:
        RecordError: If its metrics are damaged.
    """
    points = list(record.metrics())
    all_rows = chain.from_iterable([*map(point_rows, points), result_rows(record)])
    status = record.status
    ended_at = status.ended_at
    if ended_at is None:  # a killed run ends with its last point
        ended_at = points[-1].time if points else status.started_at
    return replace(
        copy_of_start(record, parent_id, state),
        end_ms=None if state == "running" else round(ended_at * 1000),
        rows=Counter(dict.fromkeys(all_rows, 1)),  # MLflow stores equal rows once
        file_hashes=hash_artifacts(record.directory),
    )


def copy_of_sweep(record: SweepRecord, state: RunState) -> MlflowCopy:
    """Return what MLflow should hold for a sweep: its parent run."""
    return MlflowCopy(
        status=MLFLOW_STATUS[state],
        start_ms=round(record.started_at * 1000),
        end_ms=None if state == "running" else round(record.updated_at * 1000),
        params=params_of(record.sweep),
        tags={**sweep_tags(record.sweep), TAG_STATE: state},
    )


def differences(disk: MlflowCopy, mlflow: MlflowCopy) -> list[str]:
    """Describe how MLflow's copy differs from the disk; empty if it does not."""
    found = []
    for name in ("status", "start_ms", "end_ms"):
        ours, theirs = getattr(disk, name), getattr(mlflow, name)
        if ours != theirs:
            found.append(f"{name} is {theirs}, on disk {ours}")
    found += _differing_keys("parameter", disk.params, mlflow.params)
    found += _differing_keys("tag", disk.tags, own_tags(mlflow.tags))
    found += _differing_keys("artifact", disk.file_hashes, mlflow.file_hashes)
    found += [f"metric {row.key} at step {row.step} is missing" for row in disk.rows - mlflow.rows]
    found += [f"metric {row.key} at step {row.step} is extra" for row in mlflow.rows - disk.rows]
    if mlflow.is_misplaced:
        found.append("its artifacts are in another folder")
    return found


def needs_rebuild(disk: MlflowCopy, mlflow: MlflowCopy) -> bool:
    """Return whether the copy differs in something MLflow can neither change nor delete."""
    return (
        mlflow.is_misplaced
        or disk.start_ms != mlflow.start_ms
        or any(disk.params.get(key) != value for key, value in mlflow.params.items())
        or bool(mlflow.rows - disk.rows)
        or not mlflow.file_hashes.keys() <= disk.file_hashes.keys()
    )


def is_orphan(tags: Mapping[str, str], is_blank: bool, runs_dir: Path) -> bool:
    """Return whether an MLflow run is a copy of a run or sweep that is no longer on disk.

    Runs without any of our tags are a user's, except the blank ones that earlier versions left
    when they were killed between creating a run and tagging it.

    Args:
        tags: Tags of the MLflow run.
        is_blank: Whether its status is "running" and it has no parameters or metrics.
        runs_dir: Folder of all runs.
    """
    name = tags.get(TAG_NAME, "")
    if TAG_SWEEP_ID in tags:
        return not (sweeps_dir(runs_dir) / tags[TAG_SWEEP_ID]).is_dir()
    if TAG_RUN_HASH in tags:
        return not (runs_dir / tags.get(TAG_RUN_NAME, name)).exists()
    is_untagged = own_tags(tags).keys() <= {TAG_NAME}
    return (
        is_untagged
        and is_blank
        and any((folder / name).exists() for folder in (runs_dir, sweeps_dir(runs_dir)))
    )


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that the lab sets, without a user's or MLflow's."""
    known = (TAG_NAME, TAG_PARENT, "mlflow.source.name", "mlflow.source.git.commit")
    return {key: value for key, value in tags.items() if key.startswith("lab.") or key in known}


def user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a user set; a rebuilt run keeps them."""
    own = own_tags(tags)
    return {
        key: value
        for key, value in tags.items()
        if key not in own and (key == TAG_NOTE or not key.startswith("mlflow."))
    }


def hash_artifacts(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of `ARTIFACTS` in a folder, by name."""
    hashes = {}
    for name in ARTIFACTS:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _differing_keys(kind: str, disk: Mapping[str, str], mlflow: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*disk, *mlflow}):
        if key not in mlflow:
            yield f"{kind} {key} is missing"
        elif key not in disk:
            yield f"{kind} {key} is extra"
        elif disk[key] != mlflow[key]:
            yield f"{kind} {key} differs"
