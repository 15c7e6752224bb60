"""Runs and sweeps in MLflow. Everything here may raise; the index catches."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchhead_lab.config.addresses import database_path, is_server
from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.errors import RecordError, WorkspaceError
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.file_names import MLFLOW_LINK_FILE
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_copy import (
    ARTIFACTS,
    MlflowCopy,
    copy_of_run,
    copy_of_start,
    copy_of_sweep,
    differences,
    hash_artifacts,
    is_orphan,
    needs_rebuild,
    own_tags,
    user_tags,
)
from switchhead_lab.tracking.mlflow_database import creation_lock, open_database
from switchhead_lab.tracking.mlflow_environment import quiet_environment
from switchhead_lab.tracking.mlflow_experiment import ensure_experiment, ensure_owned_experiment
from switchhead_lab.tracking.mlflow_fields import (
    TAG_PARENT,
    TAG_RUN_HASH,
    TAG_SWEEP_ID,
    MetricRow,
)
from switchhead_lab.tracking.mlflow_links import (
    attach_report,
    delete_run,
    link_checkpoint,
    link_data,
)
from switchhead_lab.tracking.mlflow_relocation import is_misplaced, local_path
from switchhead_lab.tracking.record import RunRecord, RunState, read_mlflow_link
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.workspace_id import workspace_id

if TYPE_CHECKING:
    from mlflow.entities import Run

ROWS_PER_BATCH = 1_000  # MLflow's limit
FIELDS_PER_BATCH = 100  # MLflow's limit of parameters, and of tags
RUNS_PER_PAGE = 1_000
N_DIFFERENCES_SHOWN = 3


def load_mlflow() -> None:
    """Import MLflow before any time limit applies: the import takes a second or two."""
    quiet_environment()
    import mlflow  # noqa: F401


def describe_error(error: Exception, tracking_uri: str) -> str:
    """Return the first line of an error's message without secrets; empty if it has none."""
    return mask_passwords(str(error), tracking_uri).strip().partition("\n")[0]


def prepare_experiment(tracking_uri: str, artifact_dir: Path, experiment: str) -> str:
    """Return the id of a database's experiment; create schema and experiment if missing.

    Args:
        tracking_uri: SQLAlchemy address.
        artifact_dir: Folder of the experiment's artifacts; updated if the workspace was moved.
        experiment: Name of the experiment.

    Raises:
        WorkspaceError: If the database cannot be opened or has the schema of another version.
    """
    try:
        return MlflowStore(tracking_uri, experiment, artifact_dir).experiment_id
    except WorkspaceError:
        raise
    except Exception as error:
        reason = describe_error(error, tracking_uri) or type(error).__name__
        raise WorkspaceError(f"{mask_address(tracking_uri)}: cannot be used: {reason}") from None


@dataclass(frozen=True)
class Survey:
    """How a store differs from the disk.

    Attributes:
        stale: Why the copy of a run is not up to date, by the run's name.
        orphans: Names of runs and sweeps in MLflow that are no longer on disk.
    """

    stale: dict[str, str]
    orphans: list[str]


def _fields_of(run: "Run") -> dict[str, Any]:
    """Return what a search tells of a run, as fields of its copy."""
    return {
        "status": run.info.status,
        "start_ms": run.info.start_time,
        "params": run.data.params,
        "tags": run.data.tags,
    }


class MlflowStore:
    """An open experiment in a tracking store; runs are found by their tags.

    Args:
        tracking_uri: SQLAlchemy address or address of a tracking server.
        experiment: Name of the experiment, created if it is missing.
        artifact_dir: Absolute folder of the experiment's artifacts; a server has its own.
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_dir: Path) -> None:
        quiet_environment()
        from mlflow import MlflowClient

        self._tracking_uri = tracking_uri
        self._artifact_dir = artifact_dir.resolve()
        with creation_lock(tracking_uri, artifact_dir):
            if not is_server(tracking_uri):
                open_database(tracking_uri, artifact_dir, experiment)
            self.client = MlflowClient(tracking_uri=tracking_uri)
            if is_server(tracking_uri):
                owner = workspace_id(self._artifact_dir.parent)
                self.experiment_id = ensure_owned_experiment(self.client, experiment, owner)
            else:
                location = self._artifact_dir.as_uri()
                self.experiment_id = ensure_experiment(self.client, experiment, location)

    @property
    def _is_own(self) -> bool:
        """Whether the store is a database in the workspace, so not shared with others."""
        path = database_path(self._tracking_uri)
        return path is not None and path.resolve().is_relative_to(self._artifact_dir.parent)

    def remove_orphans(self, runs_dir: Path) -> None:
        """Move runs and parent runs that are no longer on disk to MLflow's trash.

        Stores that other workspaces may share are left alone. An unreadable directory counts as
        present: its copy in MLflow may be the better one.
        """
        for run in self._orphans(runs_dir):
            delete_run(self.client, run)

    def survey(self, runs_dir: Path, records: Iterable[RunRecord]) -> "Survey":
        """Compare the store with the disk, without reading metrics and files.

        Args:
            runs_dir: Folder of all runs.
            records: Runs that no process is training.
        """
        held = {run.data.tags.get(TAG_RUN_HASH): run for run in self._search("")}
        stale = {}
        for record in records:
            run = held.get(record.run_hash)
            if run is None:
                stale[record.name] = "is missing in MLflow"
                continue
            disk = copy_of_start(record, run.data.tags.get(TAG_PARENT), observed_state(record))
            wrong = differences(disk, replace(disk, **_fields_of(run)))
            if wrong:
                stale[record.name] = f"differs in MLflow: {wrong[0]}"
        orphans = [run.info.run_name or run.info.run_id for run in self._orphans(runs_dir)]
        return Survey(stale, orphans)

    def _orphans(self, runs_dir: Path) -> list["Run"]:
        """Return the runs that are no longer on disk; none of a store that others may share."""
        if not self._is_own:
            return []
        found = []
        for run in self._search(""):
            has_data = run.data.params or run.data.metrics
            is_blank = run.info.status == "RUNNING" and not has_data
            if is_orphan(run.data.tags, is_blank, runs_dir):
                found.append(run)
        return found

    def log(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Send metrics in batches."""
        from mlflow.entities import Metric

        remaining = iter(rows)
        while batch := [Metric(*row) for row in islice(remaining, ROWS_PER_BATCH)]:
            self.client.log_batch(run_id, metrics=batch)

    def begin_run(self, record: RunRecord, parent_id: str | None) -> str:
        """Resume or create the MLflow run of a record; write its id to the run directory."""
        known = self._only(TAG_RUN_HASH, record.run_hash)
        if known is not None and record.status.attempt == 1:
            # Of an earlier directory, which was set aside or removed.
            delete_run(self.client, known)
            known = None
        run_id = self._update_or_create(known, copy_of_start(record, parent_id, "running"))
        link_data(self.client, run_id, record)
        self._link(record, run_id)
        return run_id

    def replay_run(
        self, record: RunRecord, parent_id: str | None, state: RunState, *, is_owner: bool = False
    ) -> str:
        """Update MLflow from a run directory, verify the copy, and return the MLflow run's id.

        An MLflow run with points that are not on disk, for example those an interrupted attempt
        sent after its last checkpoint, is deleted and recreated: MLflow cannot delete single
        points. A live run is not verified, and rebuilt only by the process that trains it.

        Args:
            record: The run.
            parent_id: MLflow's id of the sweep's parent run; None keeps the current one.
            state: State of the run.
            is_owner: Whether the caller is the process that trains the run.

        Raises:
            RecordError: If MLflow's copy still differs afterwards.
        """
        known = self._only(TAG_RUN_HASH, record.run_hash)
        if known is not None:
            parent_id = parent_id or known.data.tags.get(TAG_PARENT)
        disk = copy_of_run(record, parent_id, state)
        may_rebuild = is_owner or state != "running"
        run_id, is_changed = self._write(known, disk, record.directory, may_rebuild=may_rebuild)
        self._link(record, run_id)
        if is_changed and state != "running":
            link_data(self.client, run_id, record)
            link_checkpoint(self.client, self.client.get_run(run_id), record)
            self._verify(run_id, disk)
        return run_id

    def attach_report(self, sweep_id: str, folder: Path, note: str) -> bool:
        """Copy a report to the parent run of its sweep; return whether there is such a run."""
        parent = self._only(TAG_SWEEP_ID, sweep_id)
        if parent is None:
            return False
        attach_report(self.client, parent, folder, note)
        return True

    def replay_sweep(self, record: SweepRecord, state: RunState) -> str:
        """Update the parent run of a sweep from its record; return its id.

        Raises:
            RecordError: If MLflow's copy still differs afterwards.
        """
        disk = copy_of_sweep(record, state)
        known = self._only(TAG_SWEEP_ID, disk.name)
        run_id, is_changed = self._write(known, disk, None, may_rebuild=True)
        if known is not None and known.info.run_id != run_id:
            for child in list(self._search(f"tags.`{TAG_PARENT}` = '{known.info.run_id}'")):
                self.client.set_tag(child.info.run_id, TAG_PARENT, run_id)
        if is_changed and state != "running":
            self._verify(run_id, disk)
        return run_id

    def read(self, run: "Run") -> MlflowCopy:
        """Return MLflow's copy of a run, for comparison with the disk."""
        is_elsewhere = is_misplaced(run.info.artifact_uri, self._artifact_dir)
        rows = (
            MetricRow(metric.key, metric.value, metric.timestamp, metric.step)
            for key in run.data.metrics
            for metric in self.client.get_metric_history(run.info.run_id, key)
        )
        return MlflowCopy(
            status=run.info.status,
            start_ms=run.info.start_time,
            end_ms=run.info.end_time,
            params=run.data.params,
            tags=run.data.tags,
            rows=Counter(rows),
            file_hashes={} if is_elsewhere else self._file_hashes(run),
            is_misplaced=is_elsewhere,
        )

    def _write(
        self, known: "Run | None", disk: MlflowCopy, directory: Path | None, *, may_rebuild: bool
    ) -> tuple[str, bool]:
        """Update an MLflow run from the disk, replacing it where it cannot be changed.

        Returns:
            Its id, and whether anything was changed and has to be verified.
        """
        found = replace(disk, end_ms=None, rows=Counter(), file_hashes={})  # a new run's content
        if known is None:
            run_id = self._create(disk, {})
        else:
            held = self.read(known)
            if not differences(disk, held):
                return str(known.info.run_id), False
            if may_rebuild and needs_rebuild(disk, held):
                delete_run(self.client, known)
                run_id = self._create(disk, user_tags(held.tags))
            else:
                run_id, found = self._update_or_create(known, disk), held
        self.log(run_id, disk.rows - found.rows)
        for name, digest in disk.file_hashes.items():
            if directory is not None and found.file_hashes.get(name) != digest:
                self.client.log_artifact(run_id, str(directory / name))
        for key in own_tags(found.tags).keys() - disk.tags.keys():
            self.client.delete_tag(run_id, key)
        if disk.end_ms is not None:
            self.client.set_terminated(run_id, disk.status, disk.end_ms)
        return run_id, True

    def _verify(self, run_id: str, disk: MlflowCopy) -> None:
        wrong = differences(disk, self.read(self.client.get_run(run_id)))
        if wrong:
            n_more = len(wrong) - N_DIFFERENCES_SHOWN
            more = f" and {n_more} more" if n_more > 0 else ""
            raise RecordError(
                f"{disk.name}: MLflow's copy differs from the disk after it was written: "
                f"{'; '.join(wrong[:N_DIFFERENCES_SHOWN])}{more}"
            )

    def _only(self, tag: str, value: str) -> "Run | None":
        """Return the first run with a tag; delete others, created by processes that collided."""
        runs = list(self._search(f"tags.`{tag}` = '{value}'"))
        for surplus in runs[1:]:
            delete_run(self.client, surplus)
        return runs[0] if runs else None

    def _search(self, filter_string: str) -> Iterator["Run"]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id],
                filter_string=filter_string,
                order_by=["attributes.start_time ASC"],
                max_results=RUNS_PER_PAGE,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, disk: MlflowCopy, more_tags: Mapping[str, str]) -> str:
        # Tags go into the same call: a run without them could never be found again.
        tags = {**more_tags, **disk.tags}
        run = self.client.create_run(self.experiment_id, disk.start_ms, tags, disk.name)
        run_id = str(run.info.run_id)
        self._log_fields(run_id, {}, disk.params)
        return run_id

    def _update_or_create(self, known: "Run | None", disk: MlflowCopy) -> str:
        """Update the tags, parameters and status of a known run, or create it."""
        if known is None:
            return self._create(disk, {})
        run_id = str(known.info.run_id)
        if known.info.status != disk.status:
            self.client.update_run(run_id, status=disk.status)
        # MLflow refuses changed parameters.
        new = {key: value for key, value in disk.params.items() if key not in known.data.params}
        self._log_fields(run_id, disk.tags, new)
        return run_id

    def _link(self, record: RunRecord, run_id: str) -> None:
        link = {
            "run_id": run_id,
            "experiment_id": self.experiment_id,
            "tracking_uri": mask_passwords(self._tracking_uri),
        }
        if read_mlflow_link(record.directory) != link:
            text = json.dumps(link, indent=2) + "\n"
            write_text(record.directory / MLFLOW_LINK_FILE, text)

    def _file_hashes(self, run: "Run") -> dict[str, str]:
        """Return the SHA-256 of each of a run's artifacts that we send, by name."""
        if run.info.artifact_uri.startswith("file:"):
            return hash_artifacts(local_path(run.info.artifact_uri))
        names = {file.path for file in self.client.list_artifacts(run.info.run_id)}
        with tempfile.TemporaryDirectory() as folder:
            for name in names & set(ARTIFACTS):
                self.client.download_artifacts(run.info.run_id, name, folder)
            return hash_artifacts(Path(folder))

    def _log_fields(self, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        """Send tags and parameters in batches."""
        from mlflow.entities import Param, RunTag

        all_params = (Param(key, value) for key, value in params.items())
        all_tags = (RunTag(key, value) for key, value in tags.items())
        while True:
            batch_params = list(islice(all_params, FIELDS_PER_BATCH))
            batch_tags = list(islice(all_tags, FIELDS_PER_BATCH))
            if not batch_params and not batch_tags:
                return
            self.client.log_batch(run_id, params=batch_params, tags=batch_tags)
