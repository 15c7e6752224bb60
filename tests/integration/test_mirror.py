"""Training with MLflow, interrupted and resumed: the copy equals the disk."""

from dataclasses import replace

import pytest

from switchhead_lab.tracking import mlflow_index
from switchhead_lab.tracking.mlflow_copy import copy_of_run, differences
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir, open_workspace_index
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunLabels, list_runs
from switchhead_lab.tracking.unsynced import is_unsynced
from switchhead_lab.training.run import execute_run


class StopAt:
    def __init__(self, step: int) -> None:
        self._step = step

    def observe(self, point) -> None:
        if point.step == self._step:
            raise KeyboardInterrupt


def test_a_run_interrupted_twice_is_mirrored_point_by_point(
    workspace, tiny_config, monkeypatch
) -> None:
    monkeypatch.setattr(mlflow_index, "FLUSH_SECONDS", 0.0)
    settings = workspace.settings.model_copy(update={"tracking_uri": "sqlite:///runs/mlflow.db"})
    tracked = replace(workspace, settings=settings)
    config, labels = tiny_config(n_steps=8), RunLabels(size="tiny", variant="dense")
    for stop in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            execute_run(
                tracked, config, labels, index=open_workspace_index(tracked), hooks=[StopAt(stop)]
            )
    record = execute_run(tracked, config, labels, index=open_workspace_index(tracked))
    assert record.status.attempt == 3
    assert len(list_runs(tracked.runs_dir)) == 1
    assert not is_unsynced(record.directory)
    store = MlflowStore(tracked.tracking_uri, EXPERIMENT, artifact_dir(tracked))
    (run,) = store.client.search_runs([store.experiment_id])
    assert differences(copy_of_run(record, None, "finished"), store.read(run)) == []
    history = store.client.get_metric_history(run.info.run_id, "train/loss_nats")
    assert [metric.step for metric in history] == list(range(1, 9))
