"""Writing a run directory: what is known first is written first, the result last."""

import json
import os
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import to_toml
from switchhead_lab.config.part import Part
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking import record
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.record import MetricPoint, RunLabels, RunResult, RunState, RunStatus


class RunDir:
    """The one writer of a run directory.

    Build it with `RunDir.open`, which writes configuration and provenance before anything runs.
    """

    def __init__(self, path: Path, status: RunStatus) -> None:
        self.path = path
        self._status = status
        self._metrics = (path / record.METRICS_FILE).open("a", encoding="utf-8")

    @classmethod
    def open(
        cls,
        runs_dir: Path,
        config: RunConfig,
        labels: RunLabels,
        provenance: Mapping[str, Any],
        uncommitted_diff: str,
        *,
        unsynced_mark: str = "",
    ) -> "RunDir":
        """Start a new attempt of a run, making its directory on the first one.

        A directory of the same configuration is taken up again whatever its labels were.

        Args:
            runs_dir: Folder of all runs.
            config: Resolved configuration.
            labels: Names for a directory that has to be made.
            provenance: Plain data that says where the run comes from.
            uncommitted_diff: `git diff` against the commit; empty for a clean tree.
            unsynced_mark: Why MLflow lacks the attempt so far; empty without MLflow.
        """
        path = record.find_by_config(runs_dir, config)
        previous = None
        if path is None:
            path = runs_dir / record.run_name(config, labels)
            _create(path, config, labels, unsynced_mark)
        else:
            if unsynced_mark:  # before the attempt changes anything
                write_text(path / record.UNSYNCED_FILE, unsynced_mark)
            previous = record.read_part(RunStatus, path / record.STATUS_FILE)
            _mend_metrics(path / record.METRICS_FILE)
        write_text(path / record.PROVENANCE_FILE, json.dumps(provenance, indent=2) + "\n")
        write_text(path / record.DIFF_FILE, uncommitted_diff)
        now = time.time()
        status = RunStatus(
            state="running",
            attempt=previous.attempt + 1 if previous else 1,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=now,
            first_started_at=(previous.first_started_at or previous.started_at)
            if previous
            else now,
        )
        _write_part(path / record.STATUS_FILE, status)
        return cls(path, status)

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.path / record.CHECKPOINTS_DIR

    def drop_metrics_after(self, step: int) -> None:
        """Forget points later than `step`, which a resumed run is about to repeat."""
        path = self.path / record.METRICS_FILE
        kept = [point for point in record.read_metrics(path) if point.step <= step]
        self._metrics.close()
        write_text(path, "".join(_line(point) for point in kept))
        self._metrics = path.open("a", encoding="utf-8")

    def add(self, point: MetricPoint) -> None:
        """Append a point to the metrics file."""
        self._metrics.write(_line(point))
        self._metrics.flush()

    def finish(self, result: RunResult, router_use: Mapping[str, Any] | None = None) -> None:
        """Write the result and close the run as finished.

        Args:
            result: Figures of the run.
            router_use: How experts were used, as plain data; None without experts.
        """
        if router_use is not None:
            write_text(self.path / record.ROUTER_USE_FILE, json.dumps(router_use) + "\n")
        _write_part(self.path / record.RESULT_FILE, result)
        self.close("finished", result.n_steps)

    def close(self, state: RunState, step: int, reason: str = "") -> None:
        """Write the final status of this attempt."""
        self._metrics.close()
        final = {"state": state, "step": step, "ended_at": time.time(), "reason": reason}
        _write_part(self.path / record.STATUS_FILE, self._status.model_copy(update=final))


def _create(path: Path, config: RunConfig, labels: RunLabels, unsynced_mark: str) -> None:
    """Make a directory with configuration and labels under its final name in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    make_directory(temporary)
    write_text(temporary / record.CONFIG_FILE, to_toml(config))
    _write_part(temporary / record.LABELS_FILE, labels)
    if unsynced_mark:
        write_text(temporary / record.UNSYNCED_FILE, unsynced_mark)
    if path.is_dir():  # left by a start that was killed before its status was written
        shutil.rmtree(path)
    temporary.rename(path)


def _mend_metrics(path: Path) -> None:
    """Cut off a torn last line, so that the next point starts a line of its own."""
    if path.is_file():
        write_text(path, "".join(_line(point) for point in record.read_metrics(path)))


def _line(point: MetricPoint) -> str:
    return json.dumps(asdict(point), allow_nan=False) + "\n"


def _write_part(path: Path, part: Part) -> None:
    write_text(path, part.model_dump_json(indent=2) + "\n")
