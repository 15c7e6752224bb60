"""MLflow as an index over the run directories: optional for training, and rebuilt from them.

MLflow failures never stop a run. Each attempt marks its run directory with a file `unsynced` before
it changes anything; the mark is cleared once MLflow's copy has been verified against the directory.
Failures are reported once and cost a bounded time; `lab runs sync` repairs what they missed.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from switchhead_lab.config.redaction import mask_address
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import RecordError
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.bounded import BoundedWorker
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_bounds import Allowance, Bounds, bounds_for
from switchhead_lab.tracking.mlflow_fields import MetricRow, point_rows
from switchhead_lab.tracking.mlflow_store import MlflowStore, describe_error, load_mlflow
from switchhead_lab.tracking.record import MetricPoint, RunRecord, RunState, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.unsynced import (
    clear_mark,
    mark_unsynced,
    read_mark,
    unsynced_members,
)

EXPERIMENT = "switchhead_lab"
ARTIFACTS_DIR = "mlflow-artifacts"
IN_PROGRESS = "an attempt is in progress or was killed; MLflow's copy is not verified\n"
FLUSH_ROWS = 200
FLUSH_SECONDS = 10.0
ResultT = TypeVar("ResultT")


class Mirror(Protocol):
    """A run's copy in an index."""

    def add(self, point: MetricPoint) -> None:
        """Add a point that was written to the run directory."""

    def finish(self, state: RunState) -> None:
        """Complete the copy; call it after the run directory was closed."""


class Index(Protocol):
    """An index over runs and sweeps."""

    @property
    def unsynced_mark(self) -> str:
        """Text of a run directory's mark before an attempt; empty for no mark."""

    def start_sweep(self, record: SweepRecord, directory: Path) -> str | None:
        """Find or create the sweep's parent run; return its id, None on failure."""

    def finish_sweep(self, directory: Path, state: RunState) -> None:
        """Set the final status of the sweep and copy all of its runs that the index may lack."""

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> Mirror:
        """Return the copy of a run; an existing one is resumed."""

    def replay_sweep(self, directory: Path, state: RunState) -> str | None:
        """Update the index from a sweep record; return its parent run's id, None on failure."""

    def replay_run(
        self, run_dir: Path, parent_id: str | None = None, state: RunState | None = None
    ) -> bool:
        """Update the index from a run directory; return whether it succeeded."""

    def attach_report(self, sweep_id: str, folder: Path, note: str) -> None:
        """Copy a report to the parent run of its sweep, with a description in Markdown."""

    def remove_orphans(self, runs_dir: Path) -> None:
        """Remove copies of runs and sweeps that are no longer on disk."""


def open_index(
    tracking_uri: str, experiment: str, artifact_dir: Path, bounds: Bounds | None = None
) -> Index:
    """Return an index, or one that does nothing if `tracking_uri` is "none".

    The tracking store is opened on first use, which may fail.

    Args:
        tracking_uri: SQLAlchemy address, address of a tracking server, or "none".
        experiment: Name of the MLflow experiment.
        artifact_dir: Folder of the experiment's artifacts.
        bounds: How long to wait for a failing tracker; by default, what suits training.
    """
    if tracking_uri == "none":
        return NoIndex()
    return MlflowIndex(tracking_uri, experiment, artifact_dir, bounds)


def open_workspace_index(workspace: Workspace, bounds: Bounds | None = None) -> Index:
    """Return the index of a workspace."""
    return open_index(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace), bounds)


def artifact_dir(workspace: Workspace) -> Path:
    """Return the folder of MLflow's artifacts in a workspace."""
    return workspace.runs_dir / ARTIFACTS_DIR


def sync_run(index: Index, record: RunRecord, parent_id: str | None = None) -> bool:
    """Update an index from a run directory; idempotent.

    Returns:
        Whether it succeeded.
    """
    return index.replay_run(record.directory, parent_id)


class NoIndex:
    """The index of a workspace without one: does nothing."""

    unsynced_mark = ""

    def start_sweep(self, record: SweepRecord, directory: Path) -> str | None:  # noqa: ARG002
        """Return None."""
        return None

    def finish_sweep(self, directory: Path, state: RunState) -> None:
        """Do nothing."""

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> Mirror:  # noqa: ARG002
        """Return a mirror that does nothing."""
        return NoMirror()

    def replay_sweep(self, directory: Path, state: RunState) -> str | None:  # noqa: ARG002
        """Return None."""
        return None

    def replay_run(
        self,
        run_dir: Path,  # noqa: ARG002
        parent_id: str | None = None,  # noqa: ARG002
        state: RunState | None = None,  # noqa: ARG002
    ) -> bool:
        """Do nothing; return True."""
        return True

    def attach_report(self, sweep_id: str, folder: Path, note: str) -> None:
        """Do nothing."""

    def remove_orphans(self, runs_dir: Path) -> None:
        """Do nothing."""


class NoMirror:
    """The mirror of a run in no index: does nothing."""

    def add(self, point: MetricPoint) -> None:
        """Do nothing."""

    def finish(self, state: RunState) -> None:
        """Do nothing."""


class MlflowIndex:
    """MLflow runs found by the tags `lab.run_hash` and `lab.sweep_id`; no method raises.

    Args:
        tracking_uri: SQLAlchemy address or address of a tracking server.
        experiment: Name of the MLflow experiment.
        artifact_dir: Folder of the experiment's artifacts.
        bounds: How long to wait for a failing tracker.
    """

    unsynced_mark = IN_PROGRESS

    def __init__(
        self, tracking_uri: str, experiment: str, artifact_dir: Path, bounds: Bounds | None = None
    ) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._artifact_dir = artifact_dir.resolve()
        self._store: MlflowStore | None = None
        self._warned = False
        self._worker = BoundedWorker()
        self._allowance = Allowance(bounds or bounds_for(tracking_uri))
        self._is_in_sweep = False

    def start_sweep(self, record: SweepRecord, directory: Path) -> str | None:
        """Find or create the sweep's parent run; return its id, None on failure."""
        self._allowance.renew()
        self._is_in_sweep = True
        mark_unsynced(directory, IN_PROGRESS)
        return self.attempt(lambda store: store.replay_sweep(record, "running"), directory)

    def finish_sweep(self, directory: Path, state: RunState) -> None:
        """Set the final status of the sweep and copy all of its runs that MLflow may lack.

        Those are the runs whose copying failed, now or earlier, or whose process was killed.
        """
        self._is_in_sweep = False
        self._allowance.grant_retry()
        parent_id = self.replay_sweep(directory, state)
        if parent_id is None:
            return
        for run_dir in unsynced_members(directory):
            if not self.replay_run(run_dir, parent_id):
                return

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> "RunMirror":
        """Return the copy of a run; an existing one is resumed.

        In a sweep whose parent run could not be created, runs are copied at the sweep's end.
        """
        run_id = None
        if self._is_in_sweep and parent_id is None:
            mark_unsynced(record.directory, "waits for the parent run of its sweep")
        else:
            run_id = self.attempt(
                lambda store: store.begin_run(record, parent_id), record.directory
            )
        return RunMirror(self, record, run_id, parent_id)

    def finish_run(self, run_dir: Path, parent_id: str | None, state: RunState) -> None:
        """Complete and verify the copy of a run that this process trained.

        In a sweep, failures are retried at the sweep's end.
        """
        if not self._is_in_sweep:
            self._allowance.grant_retry()
            self.replay_run(run_dir, parent_id, state)
        elif parent_id is not None:
            self.replay_run(run_dir, parent_id, state)

    def replay_sweep(self, directory: Path, state: RunState) -> str | None:
        """Update MLflow from a sweep record; return its parent run's id, None on failure."""
        seen = read_mark(directory)

        def replay(store: MlflowStore) -> str:
            run_id = store.replay_sweep(SweepDir(directory).read(), state)
            if state != "running":
                clear_mark(directory, seen)
            return run_id

        return self.attempt(replay, directory)

    def replay_run(
        self, run_dir: Path, parent_id: str | None = None, state: RunState | None = None
    ) -> bool:
        """Update MLflow from a run directory; return whether it succeeded.

        Args:
            run_dir: The run's directory.
            parent_id: MLflow's id of the sweep's parent run; None keeps the current one.
            state: State of the run; by default that of its status, or "interrupted" if that is
                "running" and the process is gone.
        """
        # Read first: an attempt that starts meanwhile rewrites the mark, which must then be kept.
        seen = read_mark(run_dir)

        def replay(store: MlflowStore) -> bool:
            record = read_run(run_dir)
            observed = state or observed_state(record)
            store.replay_run(record, parent_id, observed)
            if observed != "running":
                clear_mark(run_dir, seen)
            return True

        return bool(self.attempt(replay, run_dir))

    def attach_report(self, sweep_id: str, folder: Path, note: str) -> None:
        """Copy a report to the parent run of its sweep, with a description in Markdown."""
        self.attempt(lambda store: store.attach_report(sweep_id, folder, note))

    def remove_orphans(self, runs_dir: Path) -> None:
        """Move MLflow runs whose run directory or sweep record is gone to MLflow's trash.

        Servers and databases that other workspaces may share are left alone.
        """
        self.attempt(lambda store: store.remove_orphans(runs_dir))

    def attempt(
        self, action: Callable[[MlflowStore], ResultT], directory: Path | None = None
    ) -> ResultT | None:
        """Run an action against MLflow and return its result, or None if it failed.

        All access to MLflow goes through here. A failure marks `directory` as unsynced; only the
        first one is reported. Once failures have used up the time allowance, no calls are made.
        """
        began = None
        try:
            load_mlflow()
            seconds = self._allowance.seconds
            if seconds <= 0.0:
                raise TimeoutError("skipped after earlier failures of MLflow")
            began = time.monotonic()
            return self._worker.run(lambda: action(self._open()), seconds)
        except Exception as error:  # MLflow, its database and the network raise many types
            if began is not None:
                self._allowance.spend(time.monotonic() - began)
            self._report(error, directory)
            return None

    def _open(self) -> MlflowStore:
        if self._store is None:
            self._store = MlflowStore(self._tracking_uri, self._experiment, self._artifact_dir)
        return self._store

    def _report(self, error: Exception, directory: Path | None) -> None:
        message = describe_error(error, self._tracking_uri)
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        if directory is not None:
            mark_unsynced(directory, reason)
        if not self._warned:
            self._warned = True
            advice = "the run directories are complete, `lab runs sync` copies them"
            if isinstance(error, RecordError):  # caused by the run, not by MLflow
                reason, advice = message, "then `lab runs sync`"
            address = mask_address(self._tracking_uri)
            tell(f"warning: MLflow at {address} is not up to date: {reason}; {advice}")


class RunMirror:
    """The MLflow run of one run directory; points are sent in batches.

    After a failure nothing more is sent until `finish`, which completes the copy from the disk.

    Args:
        index: Index that every call goes through.
        record: The run.
        run_id: MLflow's id of the run; None if it could not be started.
        parent_id: MLflow's id of the sweep's parent run.
    """

    def __init__(
        self, index: MlflowIndex, record: RunRecord, run_id: str | None, parent_id: str | None
    ) -> None:
        self._index = index
        self._run_dir = record.directory
        self._run_id = run_id
        self._parent_id = parent_id
        self._rows: list[MetricRow] = []
        self._flushed_at = time.monotonic()
        # A resumed run repeats steps that MLflow may hold with other times or values.
        self._must_replay = record.status.attempt > 1

    def add(self, point: MetricPoint) -> None:
        """Add a point that was written to the run directory."""
        if self._run_id is None:
            return
        self._rows.extend(point_rows(point))
        waited = time.monotonic() - self._flushed_at
        if len(self._rows) >= FLUSH_ROWS or waited >= FLUSH_SECONDS:
            self._flush(self._run_id)

    def finish(self, state: RunState) -> None:
        """Send the remaining points, result, files and final status, and verify them.

        Call it after the run directory was closed: it reads its files.
        """
        self._index.finish_run(self._run_dir, self._parent_id, state)

    def _flush(self, run_id: str) -> None:
        rows, self._rows = self._rows, []

        def send(store: MlflowStore) -> str:
            if not self._must_replay:
                store.log(run_id, rows)
                return run_id
            record = read_run(self._run_dir)  # includes `rows`
            return store.replay_run(record, self._parent_id, "running", is_owner=True)

        self._run_id = self._index.attempt(send, self._run_dir)
        self._must_replay = False
        self._flushed_at = time.monotonic()
