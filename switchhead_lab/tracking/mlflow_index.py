"""MLflow as an index over the run directories: never needed to train, and rebuilt from them.

Whatever MLflow does, a run goes on: the first failure is told once, the run directory is marked
with a file `unsynced`, and a replay from disk (`lab runs sync`) makes up for it.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_fields import (
    TAG_SWEEP_ID,
    MetricRow,
    point_rows,
)
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunRecord,
    RunState,
    read_run,
)

EXPERIMENT = "switchhead_lab"
ARTIFACTS_DIR = "mlflow-artifacts"
UNSYNCED_FILE = "unsynced"
FLUSH_ROWS = 200
FLUSH_SECONDS = 10.0
ResultT = TypeVar("ResultT")


class Mirror(Protocol):
    """A run's copy in an index."""

    def add(self, point: MetricPoint) -> None:
        """Take a point that was written to the run directory."""

    def finish(self, state: RunState) -> None:
        """Complete the copy, after the run directory was closed."""


class Index(Protocol):
    """An index over runs and sweeps."""

    def start_sweep(
        self, sweep_id: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> str | None:
        """Return the id of the sweep's parent run, created unless it exists; None on failure."""

    def finish_sweep(self, parent_id: str | None, state: RunState) -> None:
        """Set the final status of a sweep's parent run."""

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> Mirror:
        """Return the copy of a run, taken up again if there is one."""

    def replay_run(
        self, run_dir: Path, parent_id: str | None = None, state: RunState | None = None
    ) -> bool:
        """Make the index say what a run directory says; return whether that worked."""


def open_index(tracking_uri: str, experiment: str, artifact_dir: Path) -> Index:
    """Return an index, or one that does nothing if `tracking_uri` is "none".

    Nothing is opened yet; that happens, and may fail, at the first use.

    Args:
        tracking_uri: SQLAlchemy address, address of a tracking server, or "none".
        experiment: Name of the MLflow experiment.
        artifact_dir: Folder of the experiment's artifacts.
    """
    if tracking_uri == "none":
        return NoIndex()
    return MlflowIndex(tracking_uri, experiment, artifact_dir)


def open_workspace_index(workspace: Workspace) -> Index:
    """Return the index of a workspace."""
    return open_index(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))


def artifact_dir(workspace: Workspace) -> Path:
    """Return the folder of MLflow's artifacts in a workspace."""
    return workspace.runs_dir / ARTIFACTS_DIR


def sync_run(index: Index, record: RunRecord, parent_id: str | None = None) -> bool:
    """Replay a run directory into an index; doing it again changes nothing.

    Returns:
        Whether the index now says what the directory says.
    """
    return index.replay_run(record.directory, parent_id)


def is_unsynced(directory: Path) -> bool:
    """Say whether a run directory is marked as missing from its index."""
    return (directory / UNSYNCED_FILE).is_file()


class NoIndex:
    """The index of a workspace that has none."""

    def start_sweep(
        self,
        sweep_id: str,  # noqa: ARG002
        tags: Mapping[str, str],  # noqa: ARG002
        params: Mapping[str, str],  # noqa: ARG002
    ) -> str | None:
        """Return None."""
        return None

    def finish_sweep(self, parent_id: str | None, state: RunState) -> None:
        """Do nothing."""

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> Mirror:  # noqa: ARG002
        """Return a copy that keeps nothing."""
        return NoMirror()

    def replay_run(
        self,
        run_dir: Path,  # noqa: ARG002
        parent_id: str | None = None,  # noqa: ARG002
        state: RunState | None = None,  # noqa: ARG002
    ) -> bool:
        """Do nothing, which always works."""
        return True


class NoMirror:
    """The copy of a run in an index that keeps nothing."""

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
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_dir: Path) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._artifact_dir = artifact_dir.resolve()
        self._store: MlflowStore | None = None
        self._warned = False

    def start_sweep(
        self, sweep_id: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> str | None:
        """Return the id of the sweep's parent run, created unless it exists; None on failure."""
        all_tags = {**tags, TAG_SWEEP_ID: sweep_id}

        def start(store: MlflowStore) -> str:
            return store.begin(store.find(TAG_SWEEP_ID, sweep_id), sweep_id, all_tags, params)

        return self.attempt(start)

    def finish_sweep(self, parent_id: str | None, state: RunState) -> None:
        """Set the final status of a sweep's parent run; None is a sweep that did not start here."""
        if parent_id is not None:
            self.attempt(lambda store: store.end(parent_id, state, time.time()))

    def start_run(self, record: RunRecord, parent_id: str | None = None) -> "RunMirror":
        """Return the copy of a run, taken up again if there is one."""
        run_id = self.attempt(lambda store: store.begin_run(record, parent_id), record.directory)
        return RunMirror(self, record.directory, run_id, parent_id)

    def replay_run(
        self, run_dir: Path, parent_id: str | None = None, state: RunState | None = None
    ) -> bool:
        """Make MLflow say what a run directory says; return whether that worked.

        Args:
            run_dir: The run's directory.
            parent_id: MLflow's id of the sweep's parent run; None keeps the one it has.
            state: State of the run; by default the one in its status, or "interrupted" if that says
                "running" and the process is gone.
        """

        def replay(store: MlflowStore) -> bool:
            record = read_run(run_dir)
            store.replay(record, parent_id, state or observed_state(record.status))
            (run_dir / UNSYNCED_FILE).unlink(missing_ok=True)
            return True

        return bool(self.attempt(replay, run_dir))

    def attempt(
        self, action: Callable[[MlflowStore], ResultT], run_dir: Path | None = None
    ) -> ResultT | None:
        """Do something with MLflow; a failure is told once, marked in `run_dir`, and returns None.

        Every use of MLflow goes through here.
        """
        try:
            if self._store is None:
                self._store = MlflowStore(self._tracking_uri, self._experiment, self._artifact_dir)
            return action(self._store)
        except Exception as error:  # MLflow raises whatever its database and network raise
            self._report(error, run_dir)
            return None

    def _report(self, error: Exception, run_dir: Path | None) -> None:
        lines = mask_passwords(str(error), self._tracking_uri).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        if run_dir is not None:
            with contextlib.suppress(OSError):  # a full disk is the run directory's to report
                (run_dir / UNSYNCED_FILE).write_text(reason + "\n", encoding="utf-8")
        if not self._warned:
            self._warned = True
            tell(
                f"warning: MLflow at {mask_address(self._tracking_uri)} is not up to date: "
                f"{reason}; the run directories have everything, `lab runs sync` catches up"
            )


class RunMirror:
    """The MLflow run of one run directory; points are sent in batches.

    After a failure nothing more is sent until `finish`, which replays the whole directory once.

    Args:
        index: Index that every call goes through.
        run_dir: The run's directory.
        run_id: MLflow's id of the run; None if it could not be started.
        parent_id: MLflow's id of the sweep's parent run.
    """

    def __init__(
        self, index: MlflowIndex, run_dir: Path, run_id: str | None, parent_id: str | None
    ) -> None:
        self._index = index
        self._run_dir = run_dir
        self._run_id = run_id
        self._parent_id = parent_id
        self._rows: list[MetricRow] = []
        self._flushed_at = time.monotonic()

    def add(self, point: MetricPoint) -> None:
        """Take a point that was written to the run directory."""
        if self._run_id is None:
            return
        self._rows.extend(point_rows(point))
        waited = time.monotonic() - self._flushed_at
        if len(self._rows) >= FLUSH_ROWS or waited >= FLUSH_SECONDS:
            self._flush(self._run_id)

    def finish(self, state: RunState) -> None:
        """Send the rest, the result, the files and the final status.

        Call it after the run directory was closed, whose files it reads.
        """
        if self._run_id is not None:
            self._flush(self._run_id)
        run_id = self._run_id
        if run_id is None or is_unsynced(self._run_dir):
            self._index.replay_run(self._run_dir, self._parent_id, state)
            return
        self._index.attempt(
            lambda store: store.end_run(run_id, read_run(self._run_dir), state), self._run_dir
        )

    def _flush(self, run_id: str) -> None:
        rows, self._rows = self._rows, []
        self._flushed_at = time.monotonic()

        def send(store: MlflowStore) -> bool:
            store.log(run_id, rows)
            return True

        if not self._index.attempt(send, self._run_dir):
            self._run_id = None
