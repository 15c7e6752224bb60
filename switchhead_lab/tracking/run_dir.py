"""Writing a run directory: configuration and provenance first, the result last."""

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import to_toml
from switchhead_lab.config.identity import identity
from switchhead_lab.config.plugins import plugins_of
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, FailureCause, RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking import file_names as files
from switchhead_lab.tracking import record
from switchhead_lab.tracking.atomic import (
    append,
    make_directory,
    remove_temporaries,
    reported,
    sync_directory,
    write_bytes,
    write_text,
)
from switchhead_lab.tracking.comparison import differing_fields
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunLabels,
    RunResult,
    RunState,
    RunStatus,
)

# Files that only the run's process writes, under the run's lock.
_OWN_FILES = (
    files.CONFIG_FILE,
    files.LABELS_FILE,
    files.PROVENANCE_FILE,
    files.DIFF_FILE,
    files.METRICS_FILE,
    files.STATUS_FILE,
    files.RESULT_FILE,
    files.ROUTER_USE_FILE,
)
# `lab runs sync` writes the link without the lock, but never takes this long.
_LINK_SECONDS = 3600.0


class RunDir:
    """The only writer of a run directory.

    Build it with `RunDir.open`, which writes configuration and provenance before anything runs.
    """

    def __init__(self, path: Path, status: RunStatus) -> None:
        self.path = path
        self._status = status
        self._metrics = _open_metrics(path)

    @classmethod
    def open(
        cls,
        runs_dir: Path,
        config: RunConfig,
        labels: RunLabels,
        provenance: Mapping[str, Any],
        uncommitted_diff: bytes,
        *,
        unsynced_mark: str = "",
    ) -> "RunDir":
        """Start a new attempt of a run; the first creates its directory.

        Reuses an existing directory with the same configuration, even under different labels.
        Removes partial files of killed attempts, so the caller must hold the run's lock.

        Args:
            runs_dir: Folder of all runs.
            config: Resolved configuration.
            labels: Names for a new directory.
            provenance: Provenance of the attempt as plain data.
            uncommitted_diff: `git diff` against the commit; empty for a clean tree.
            unsynced_mark: Text of the mark until MLflow's copy is verified; empty without MLflow.

        Raises:
            StorageError: If the disk refuses a write.
            WorkspaceError: If the folder is not writable.
            RecordError: If an existing directory is damaged, unreadable or not this run's.
        """
        remove_temporaries(runs_dir, rf".+-{identity(config)[:8]}")
        path = record.find_by_config(runs_dir, config)
        if path is None:
            path = runs_dir / record.run_name(config, labels)
            _create(path, config, labels, unsynced_mark)
        else:
            if unsynced_mark:  # before the attempt changes anything
                write_text(path / files.UNSYNCED_FILE, unsynced_mark)
            remove_temporaries(path, "|".join(map(re.escape, _OWN_FILES)))
            remove_temporaries(path, re.escape(files.MLFLOW_LINK_FILE), _LINK_SECONDS)
            _drop_truncated_line(path / files.METRICS_FILE)
        previous, attempt = record.read_status(path), _next_attempt(path)
        for folder in (make_directory(path / files.ATTEMPTS_DIR / str(attempt)), path):
            write_text(folder / files.PROVENANCE_FILE, json.dumps(provenance, indent=2) + "\n")
            write_bytes(folder / files.DIFF_FILE, uncommitted_diff)
            for plugin in plugins_of(config):
                kept = make_directory(folder / files.PLUGINS_DIR)
                for name, source in plugin.sources.items():
                    write_bytes(kept / name, source)
        now = time.time()
        status = RunStatus(
            state="running",
            attempt=attempt,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=now,
            first_started_at=(previous.first_started_at or previous.started_at)
            if previous
            else now,
        )
        _write_model(path / files.STATUS_FILE, status)
        return cls(path, status)

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.path / files.CHECKPOINTS_DIR

    def metrics(self) -> Iterator[MetricPoint]:
        """Yield the recorded points in order."""
        return record.read_metrics(self.path / files.METRICS_FILE)

    def drop_metrics_after(self, step: int) -> None:
        """Remove points after `step`, which a resumed run repeats."""
        path = self.path / files.METRICS_FILE
        kept = [point for point in record.read_metrics(path) if point.step <= step]
        self._metrics.close()
        write_text(path, "".join(_line(point) for point in kept))
        self._metrics = _open_metrics(self.path)

    def add(self, point: MetricPoint) -> None:
        """Append a point to the metrics file.

        Raises:
            StorageError: If the disk refuses the write; earlier points are kept.
        """
        append(self._metrics, self.path / files.METRICS_FILE, _line(point).encode())

    def sync_metrics(self) -> None:
        """Sync all points to disk.

        Raises:
            StorageError: If the disk refuses them.
        """
        with reported(self.path / files.METRICS_FILE):
            os.fsync(self._metrics.fileno())

    def finish(self, result: RunResult, router_use: Mapping[str, Any] | None = None) -> None:
        """Write the result and the status "finished".

        Args:
            result: Figures of the run.
            router_use: Expert use as plain data; None without experts.
        """
        if router_use is not None:
            write_text(self.path / files.ROUTER_USE_FILE, json.dumps(router_use) + "\n")
        _write_model(self.path / files.RESULT_FILE, result)
        self.close("finished", result.n_steps)

    def close(self, state: RunState, step: int, reason: str = "", cause: FailureCause = "") -> None:
        """Write the final status of this attempt.

        Args:
            state: Final state of the attempt.
            step: Optimiser steps done.
            reason: Why it failed, was pruned or was interrupted.
            cause: Kind of failure.
        """
        self._metrics.close()
        final = {"state": state, "step": step, "ended_at": time.time(), "reason": reason}
        status = self._status.model_copy(update={**final, "cause": cause})
        _write_model(self.path / files.STATUS_FILE, status)

    def abandon(self, reason: str) -> None:
        """Write the status of an attempt that is being terminated immediately."""
        has_result = (self.path / files.RESULT_FILE).is_file()
        points = [] if has_result else list(self.metrics())
        step = points[-1].step if points else self._status.step
        state = "finished" if has_result else "interrupted"
        final = {"state": state, "step": step, "ended_at": time.time(), "reason": reason}
        _write_model(self.path / files.STATUS_FILE, self._status.model_copy(update=final))


def close_orphan(path: Path) -> RunStatus | None:
    """Write how an attempt ended whose process was killed; the caller holds the run's lock.

    Args:
        path: The run's directory.

    Returns:
        The new status; None if the status says already how the attempt ended.

    Raises:
        RecordError: If the metrics are damaged.
        StorageError: If the disk refuses the write.
    """
    status = record.read_status(path)
    if status is None or status.state != "running":
        return None
    points = list(record.read_metrics(path / files.METRICS_FILE))
    has_result = (path / files.RESULT_FILE).is_file()
    closed = status.model_copy(
        update={
            "state": "finished" if has_result else "interrupted",
            "step": max(status.step, points[-1].step if points else 0),
            "ended_at": points[-1].time if points else status.started_at,
            "reason": "" if has_result else "its process ended without writing a status",
        }
    )
    _write_model(path / files.STATUS_FILE, closed)
    return closed


def _create(path: Path, config: RunConfig, labels: RunLabels, unsynced_mark: str) -> None:
    """Create a directory with configuration and labels atomically.

    Raises:
        RecordError: If the path exists already; its contents are unchanged.
    """
    if path.exists():
        raise RecordError(
            f"{path}: {_why_not_ours(path, config)}; undo that, or move the directory away"
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        make_directory(temporary)
        write_text(temporary / files.CONFIG_FILE, to_toml(config))
        _write_model(temporary / files.LABELS_FILE, labels)
        if unsynced_mark:
            write_text(temporary / files.UNSYNCED_FILE, unsynced_mark)
        with reported(path):
            temporary.rename(path)
            sync_directory(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_metrics(folder: Path) -> FileIO:
    """Open the metrics file for unbuffered appending."""
    path = folder / files.METRICS_FILE
    with reported(path):
        return path.open("ab", buffering=0)


def _why_not_ours(path: Path, config: RunConfig) -> str:
    """Return why a directory with a run's name is not that run's."""
    try:
        found = record.read_config(path)
    except (ConfigError, RecordError) as error:
        return f"has no readable {files.CONFIG_FILE} ({error})"
    differences = differing_fields(config, found)
    changes = ", ".join(f"{d.field} = {d.second} instead of {d.first}" for d in differences)
    return f"its {files.CONFIG_FILE} was changed: {changes}"


def _next_attempt(path: Path) -> int:
    """Return the number of the new attempt, even if the status is missing."""
    known = [int(p.name) for p in (path / files.ATTEMPTS_DIR).glob("*") if p.name.isdecimal()]
    status = record.read_status(path)
    return max([*known, status.attempt if status else 0]) + 1


def _drop_truncated_line(path: Path) -> None:
    """Remove a truncated last line, so that the next point starts a new line."""
    if path.is_file():
        write_text(path, "".join(_line(point) for point in record.read_metrics(path)))


def _line(point: MetricPoint) -> str:
    return json.dumps(asdict(point), allow_nan=False) + "\n"


def _write_model(path: Path, model: FrozenModel) -> None:
    write_text(path, model.model_dump_json(indent=2) + "\n")
