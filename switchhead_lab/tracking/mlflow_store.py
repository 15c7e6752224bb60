"""MLflow itself: the one file that imports it. Everything here may raise; the index catches."""

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from switchhead_lab.config.addresses import database_path, is_server
from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking import record as files
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.mlflow_fields import (
    MAX_PARAM_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MLFLOW_STATUS,
    TAG_PARENT,
    TAG_RUN_HASH,
    TAG_STATE,
    MetricRow,
    cut,
    params_of,
    point_rows,
    result_rows,
    run_tags,
)
from switchhead_lab.tracking.record import RunRecord, RunState
from switchhead_lab.tracking.sqlite_file import use_write_ahead_log

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOCK_SECONDS = 120.0  # another process may be creating the schema
ROWS_PER_BATCH = 1_000  # MLflow's limit
FIELDS_PER_BATCH = 100  # MLflow's limit of parameters, and of tags
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
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that is down holds up a run for seconds, not for MLflow's usual minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PGCONNECT_TIMEOUT": "10",
}


def quiet_environment() -> None:
    """Turn MLflow's telemetry and chatter off, except where the user has set them."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def prepare_database(tracking_uri: str, artifact_dir: Path) -> None:
    """Create the schema of a tracking database if it has none, one process at a time.

    Args:
        tracking_uri: SQLAlchemy address.
        artifact_dir: Folder for artifacts of MLflow's own default experiment; absolute.

    Raises:
        WorkspaceError: If the database cannot be opened or its schema is another version's.
    """
    try:
        with _creation_lock(tracking_uri, artifact_dir):
            _create_schema(tracking_uri, artifact_dir)
    except WorkspaceError:
        raise
    except Exception as error:
        reason = mask_passwords(str(error), tracking_uri).strip().splitlines()[0]
        raise WorkspaceError(f"{mask_address(tracking_uri)}: cannot be used: {reason}") from None


class MlflowStore:
    """One experiment in a tracking store, opened; runs are found by the tags they carry.

    Args:
        tracking_uri: SQLAlchemy address or address of a tracking server.
        experiment: Name of the experiment, created if it is missing.
        artifact_dir: Absolute folder of the experiment's artifacts; a server keeps its own.
    """

    def __init__(self, tracking_uri: str, experiment: str, artifact_dir: Path) -> None:
        quiet_environment()
        from mlflow import MlflowClient

        self._tracking_uri = tracking_uri
        with _creation_lock(tracking_uri, artifact_dir):
            if not is_server(tracking_uri):
                _create_schema(tracking_uri, artifact_dir)
            self.client = MlflowClient(tracking_uri=tracking_uri)
            location = None if is_server(tracking_uri) else artifact_dir.resolve().as_uri()
            self.experiment_id = _ensure_experiment(self.client, experiment, location)

    def find(self, tag: str, value: str) -> "Run | None":
        """Return the first run that carries a tag with this value."""
        runs = self.client.search_runs(
            [self.experiment_id],
            filter_string=f"tags.`{tag}` = '{value}'",
            order_by=["attributes.start_time ASC"],
            max_results=1,
        )
        return runs[0] if runs else None

    def begin(
        self, run: "Run | None", name: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> str:
        """Take up `run` again, or create one, as running; return its id."""
        if run is None:
            run = self.client.create_run(self.experiment_id, run_name=name)
        run_id = str(run.info.run_id)
        if run.info.status != "RUNNING":
            self.client.update_run(run_id, status="RUNNING")
        self._log_fields(run_id, {**tags, TAG_STATE: "running"}, params, run.data.params)
        return run_id

    def begin_run(self, record: RunRecord, parent_id: str | None) -> str:
        """Take up or create the MLflow run of a record; leave its id in the run directory."""
        known = self.find(TAG_RUN_HASH, record.run_hash)
        tags, params = run_tags(record, parent_id), params_of(record.config)
        run_id = self.begin(known, record.name, tags, params)
        link = {
            "run_id": run_id,
            "experiment_id": self.experiment_id,
            "tracking_uri": mask_address(self._tracking_uri),
        }
        write_text(record.directory / files.MLFLOW_LINK_FILE, json.dumps(link, indent=2) + "\n")
        return run_id

    def log(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Send metrics in batches."""
        from mlflow.entities import Metric

        remaining = iter(rows)
        while batch := [Metric(*row) for row in islice(remaining, ROWS_PER_BATCH)]:
            self.client.log_batch(run_id, metrics=batch)

    def end(self, run_id: str, state: RunState, ended_at: float | None) -> None:
        """Set the final status of a run; a running one is left as it is."""
        self.client.set_tag(run_id, TAG_STATE, state)
        if state != "running":
            end_ms = round(ended_at * 1000) if ended_at is not None else None
            self.client.set_terminated(run_id, MLFLOW_STATUS[state], end_ms)

    def end_run(self, run_id: str, record: RunRecord, state: RunState) -> None:
        """Send a run's result and files and set its final status."""
        self.log(run_id, result_rows(record))
        for name in ARTIFACTS:
            if (record.directory / name).is_file():
                self.client.log_artifact(run_id, str(record.directory / name))
        self.end(run_id, state, record.status.ended_at)

    def replay(self, record: RunRecord, parent_id: str | None, state: RunState) -> None:
        """Make MLflow say what the run directory says.

        An MLflow run that holds other points, for example those an interrupted attempt sent after
        its last checkpoint, is deleted and made anew, since MLflow cannot delete single points.
        """
        known = self.find(TAG_RUN_HASH, record.run_hash)
        # A live run may have sent more by now than was read from its directory.
        if known is not None and state != "running" and self._has_foreign_rows(known, record):
            parent_id = parent_id or known.data.tags.get(TAG_PARENT)
            self.client.delete_run(known.info.run_id)
        run_id = self.begin_run(record, parent_id)
        self.log(run_id, (row for point in record.metrics() for row in point_rows(point)))
        self.end_run(run_id, record, state)

    def _has_foreign_rows(self, run: "Run", record: RunRecord) -> bool:
        own = {row for point in record.metrics() for row in point_rows(point)}
        own.update(result_rows(record))
        return any(
            MetricRow(metric.key, metric.value, metric.timestamp, metric.step) not in own
            for key in run.data.metrics
            for metric in self.client.get_metric_history(run.info.run_id, key)
        )

    def _log_fields(
        self,
        run_id: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        known_params: Mapping[str, str],
    ) -> None:
        """Send tags, and parameters that the run has not, since MLflow refuses changed ones."""
        from mlflow.entities import Param, RunTag

        new_params = iter(
            [
                Param(key, cut(value, MAX_PARAM_CHARACTERS))
                for key, value in params.items()
                if key not in known_params
            ]
        )
        new_tags = iter(
            [RunTag(key, cut(value, MAX_TAG_CHARACTERS)) for key, value in tags.items()]
        )
        while True:
            batch_params = list(islice(new_params, FIELDS_PER_BATCH))
            batch_tags = list(islice(new_tags, FIELDS_PER_BATCH))
            if not batch_params and not batch_tags:
                return
            self.client.log_batch(run_id, params=batch_params, tags=batch_tags)


@contextlib.contextmanager
def _creation_lock(tracking_uri: str, artifact_dir: Path) -> Iterator[None]:
    """Keep other processes of this machine from creating the same schema or experiment."""
    from filelock import FileLock

    path = database_path(tracking_uri)
    if path is None:
        path = artifact_dir / "tracking"
    make_directory(path.parent)
    with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
        yield


def _create_schema(tracking_uri: str, artifact_dir: Path) -> None:
    quiet_environment()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _require_database(tracking_uri)
    # Through the client the artifact root of MLflow's default experiment would be the current
    # folder of whoever comes first.
    SqlAlchemyStore(tracking_uri, artifact_dir.resolve().as_uri())  # type: ignore[no-untyped-call]
    path = database_path(tracking_uri)
    if path is not None:
        use_write_ahead_log(path)


def _require_database(tracking_uri: str) -> None:
    """Open a database once and raise if that fails, where MLflow would try for 100 s."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(tracking_uri)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _ensure_experiment(client: "MlflowClient", name: str, artifact_location: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=artifact_location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
