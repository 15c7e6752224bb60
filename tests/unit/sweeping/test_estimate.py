import socket
from dataclasses import replace

import pytest

from switchhead_lab.sweeping.estimate import (
    estimated_seconds,
    is_done,
    measured_speed,
    step_macs,
)
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.training.run import execute_run


@pytest.fixture
def run(workspace, tiny_config):
    labels = RunLabels(size="tiny", variant="model")
    record = execute_run(workspace, tiny_config(), labels, index=NoIndex())
    assert record.result is not None
    return replace(record, result=record.result.model_copy(update={"ms_per_step": 20.0}))


def test_a_model_trained_before_takes_as_long_as_it_did(run, tiny_config) -> None:
    speed = measured_speed([run])
    assert speed is not None
    assert speed.n_runs == 1
    longer = tiny_config(n_steps=100)
    assert estimated_seconds(longer, speed) == pytest.approx(2.0)


def test_another_model_goes_by_its_macs(run, tiny_config) -> None:
    speed = measured_speed([run])
    assert speed is not None
    other = tiny_config("switchhead", n_steps=100)
    expected = 2.0 * step_macs(other) / step_macs(run.config)
    assert estimated_seconds(other, speed) == pytest.approx(expected)


def test_runs_of_other_machines_and_unfinished_ones_say_nothing(run) -> None:
    elsewhere = run.status.model_copy(update={"host": socket.gethostname() + "-2"})
    assert measured_speed([replace(run, status=elsewhere)]) is None
    assert measured_speed([replace(run, result=None)]) is None
    assert measured_speed([]) is None


def test_done_are_finished_and_pruned_runs(run, tiny_config) -> None:
    pruned = replace(run, result=None, status=run.status.model_copy(update={"state": "pruned"}))
    failed = replace(run, result=None, status=run.status.model_copy(update={"state": "failed"}))
    assert is_done(run.config, [run])
    assert is_done(run.config, [pruned])
    assert not is_done(run.config, [failed])
    assert not is_done(tiny_config(seed=1), [run])
