"""What a sweep came to, on disk and in MLflow, for comparing disturbed sweeps with whole ones."""

import json

import optuna

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_copy import copy_of_run, differences
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunRecord, list_runs
from switchhead_lab.tracking.sweep_dir import list_sweep_records
from switchhead_lab.tracking.sweep_record import SweepRecord

_TIMED = ("ms_per_step", "tokens_per_second")
_LEARNING = ("loss_nats", "perplexity", "learning_rate")


def sweep_record(workspace: Workspace) -> SweepRecord:
    """Return the record of the one sweep of a workspace."""
    (record,) = list_sweep_records(workspace.runs_dir)
    return record


def outcome(workspace: Workspace) -> dict[str, object]:
    """Return all results that an interruption must not change."""
    record = sweep_record(workspace)
    report = write_report(Selection(record, ()), workspace.runs_dir, workspace.reports_dir)
    return {
        "members": [(m.model, m.role, m.seed, m.run_hash, m.state) for m in record.members],
        "trials": {name: _trials(workspace, name) for name in record.studies},
        "losses": {run.name: _losses(run) for run in list_runs(workspace.runs_dir)},
        "table": [
            {key: value for key, value in row.items() if not any(name in key for name in _TIMED)}
            for row in json.loads(json.dumps(report.as_data()["models"]))
        ],
        "incomplete": report.incomplete,
    }


def _trials(workspace: Workspace, name: str) -> list[tuple[object, ...]]:
    searched = sweep_record(workspace).studies[name]
    study = optuna.load_study(study_name=searched.storage_name, storage=workspace.study_storage)
    return [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in study.trials]


def _losses(run: RunRecord) -> list[tuple[int, str, float]]:
    return [
        (point.step, metric, value)
        for point in run.metrics()
        for metric, value in point.metrics.items()
        if metric.endswith(_LEARNING)
    ]


def assert_mirrored(workspace: Workspace) -> None:
    """Check that MLflow holds what the disk holds, run by run, and nothing else."""
    store = MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))
    copies = store.client.search_runs([store.experiment_id], max_results=1000)
    by_hash = {run.data.tags.get("lab.run_hash"): run for run in copies}
    records = list_runs(workspace.runs_dir)
    assert len(copies) == len(records) + 1  # the sweep's own
    for record in records:
        ours = by_hash[record.run_hash]
        parent_id = ours.data.tags.get("mlflow.parentRunId")
        disk = copy_of_run(record, parent_id, observed_state(record))
        assert differences(disk, store.read(ours)) == [], record.name
