"""What MLflow must hold of a run or sweep, and how that differs from what it holds."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from switchhead_lab.tracking import record as files
from switchhead_lab.tracking.mlflow_fields import (
    MAX_PARAM_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MLFLOW_STATUS,
    TAG_NAME,
    TAG_NOTE,
    TAG_PARENT,
    TAG_RUN_HASH,
    TAG_RUN_NAME,
    TAG_STATE,
    TAG_SWEEP_ID,
    MetricRow,
    cut,
    end_milliseconds,
    params_of,
    point_rows,
    result_rows,
    run_tags,
    sweep_tags,
)
from switchhead_lab.tracking.record import RunRecord, RunState
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

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
    """Everything of an MLflow run that follows from the disk.

    Attributes:
        status: MLflow's word for the state.
        start_ms: Start, milliseconds since 1970.
        end_ms: End, milliseconds since 1970; None while it runs.
        params: Parameters.
        tags: Tags; what MLflow holds may have more, for example a user's notes.
        rows: Metric values, each with its number of copies.
        file_hashes: SHA-256 of each artifact by name.
        is_misplaced: Whether its artifacts belong to another folder than the workspace's.
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


def copy_of_run(record: RunRecord, parent_id: str | None, state: RunState) -> MlflowCopy:
    """Return what MLflow must hold of a run directory.

    Args:
        record: The run.
        parent_id: MLflow's id of its sweep's parent run.
        state: State of the run, which its status may not say yet.

    Raises:
        RecordError: If its metrics are damaged.
    """
    points = list(record.metrics())
    all_rows = chain.from_iterable([*map(point_rows, points), result_rows(record)])
    status = record.status
    last_sign = points[-1].time if points else status.started_at  # of a run that was killed
    return MlflowCopy(
        status=MLFLOW_STATUS[state],
        start_ms=round((status.first_started_at or status.started_at) * 1000),
        end_ms=None if state == "running" else end_milliseconds(status, last_sign),
        params=params_of(record.config),
        tags={**run_tags(record, parent_id), TAG_STATE: state},
        rows=Counter(dict.fromkeys(all_rows, 1)),  # MLflow keeps equal rows once
        file_hashes=hash_files(record.directory),
    )


def copy_of_sweep(record: SweepRecord, state: RunState) -> MlflowCopy:
    """Return what MLflow must hold of a sweep: its parent run."""
    name = sweep_id(record.sweep)
    tags = {**sweep_tags(record.sweep), TAG_NAME: name, TAG_SWEEP_ID: name, TAG_STATE: state}
    return MlflowCopy(
        status=MLFLOW_STATUS[state],
        start_ms=round(record.started_at * 1000),
        end_ms=None if state == "running" else round(record.updated_at * 1000),
        params={k: cut(v, MAX_PARAM_CHARACTERS) for k, v in params_of(record.sweep).items()},
        tags={key: cut(value, MAX_TAG_CHARACTERS) for key, value in tags.items()},
    )


def differences(disk: MlflowCopy, mlflow: MlflowCopy) -> list[str]:
    """Return what MLflow holds otherwise than the disk, in words; empty if it is a true copy."""
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
        found.append("its artifacts belong to another folder")
    return found


def needs_rebuild(disk: MlflowCopy, mlflow: MlflowCopy) -> bool:
    """Say whether MLflow holds what it can neither change nor delete within a run."""
    return (
        mlflow.is_misplaced
        or disk.start_ms != mlflow.start_ms
        or any(disk.params.get(key) != value for key, value in mlflow.params.items())
        or bool(mlflow.rows - disk.rows)
        or not mlflow.file_hashes.keys() <= disk.file_hashes.keys()
    )


def is_orphan(
    tags: Mapping[str, str], is_blank: bool, runs_dir: Path, sweep_ids: Collection[str]
) -> bool:
    """Say whether an MLflow run is a copy of something that is not on disk.

    Runs that carry none of our tags are a user's, except the blank ones that earlier versions left
    when they were killed between creating a run and tagging it.

    Args:
        tags: Its tags.
        is_blank: Whether it runs without a parameter or metric.
        runs_dir: Folder of all runs.
        sweep_ids: Sweeps on disk.
    """
    name = tags.get(TAG_NAME, "")
    if TAG_SWEEP_ID in tags:
        return tags[TAG_SWEEP_ID] not in sweep_ids
    if TAG_RUN_HASH in tags:
        return not (runs_dir / tags.get(TAG_RUN_NAME, name)).exists()
    is_untagged = own_tags(tags).keys() <= {TAG_NAME}
    return is_untagged and is_blank and (name in sweep_ids or (runs_dir / name).exists())


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that the lab sets; others are a user's or MLflow's own."""
    known = (TAG_NAME, TAG_PARENT, "mlflow.source.name", "mlflow.source.git.commit")
    return {key: value for key, value in tags.items() if key.startswith("lab.") or key in known}


def user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a user set, which a rebuilt run keeps."""
    own = own_tags(tags)
    return {
        key: value
        for key, value in tags.items()
        if key not in own and (key == TAG_NOTE or not key.startswith("mlflow."))
    }


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files in a folder that are sent to MLflow, by name."""
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
