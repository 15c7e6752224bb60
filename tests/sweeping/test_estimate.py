import socket
from dataclasses import replace

import pytest

from switchhead_lab.sweeping.estimate import (
    estimated_seconds,
    is_done,
    measured_speeds,
    speed_here,
    step_macs,
)
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunRecord
from switchhead_lab.training.run import execute_run

GPU = "cuda (NVIDIA H100)"


@pytest.fixture
def run(workspace, tiny_config) -> RunRecord:
    labels = RunLabels(size="tiny", variant="model")
    record = execute_run(workspace, tiny_config(), labels, index=NoIndex())
    return measured_as(record, ms_per_step=20.0)


def measured_as(run: RunRecord, **result: object) -> RunRecord:
    assert run.result is not None
    return replace(run, result=run.result.model_copy(update=result))


def elsewhere(run: RunRecord) -> RunRecord:
    host = socket.gethostname() + "-2"
    return replace(run, status=run.status.model_copy(update={"host": host}))


def test_a_model_trained_before_takes_as_long_as_it_did(run, tiny_config) -> None:
    speed = measured_speeds([run])["cpu"]
    assert speed.n_runs == 1
    longer = tiny_config(n_steps=100)
    assert estimated_seconds(longer, speed) == pytest.approx(2.0)


def test_one_slow_run_does_not_change_the_estimate(run, tiny_config) -> None:
    slow = measured_as(run, ms_per_step=900.0)
    speed = measured_speeds([run, slow, measured_as(run, ms_per_step=30.0)])["cpu"]
    assert estimated_seconds(tiny_config(n_steps=100), speed) == pytest.approx(3.0)


def test_other_models_are_estimated_by_macs(run, tiny_config) -> None:
    speed = measured_speeds([run])["cpu"]
    other = tiny_config("switchhead", n_steps=100)
    expected = 2.0 * step_macs(other) / step_macs(run.config)
    assert estimated_seconds(other, speed) == pytest.approx(expected)


def test_kinds_of_device_are_estimated_separately(run) -> None:
    on_gpu = measured_as(run, device=GPU, ms_per_step=1.0)
    speeds = measured_speeds([run, on_gpu])
    assert estimated_seconds(run.config, speeds["cpu"]) == pytest.approx(6 * 0.020)
    assert estimated_seconds(run.config, speeds["gpu"]) == pytest.approx(6 * 0.001)
    assert speeds["gpu"].devices == (GPU,)
    assert speeds["cpu"].devices[0].startswith("cpu (")
    assert set(measured_speeds([on_gpu])) == {"gpu"}


def test_this_machine_takes_precedence_over_others(run) -> None:
    other = elsewhere(measured_as(run, ms_per_step=500.0, n_parameters=10**9))
    both = measured_speeds([other, run])["cpu"]
    assert (both.is_here, both.n_runs) == (True, 1)
    assert estimated_seconds(run.config, both) == pytest.approx(6 * 0.020)
    only_other = measured_speeds([other])["cpu"]
    assert (only_other.is_here, only_other.n_runs) == (False, 1)
    assert estimated_seconds(run.config, only_other) == pytest.approx(6 * 0.500)
    assert only_other.largest_n_parameters == 10**9


def test_the_speed_here_is_the_gpus_if_this_machine_used_one(run) -> None:
    on_gpu = measured_as(run, device=GPU)
    speeds = measured_speeds([run, on_gpu])
    assert speed_here(speeds) is speeds["gpu"]
    speeds = measured_speeds([run, elsewhere(on_gpu)])
    assert speed_here(speeds) is speeds["cpu"]
    assert speed_here(measured_speeds([elsewhere(run)])) is None


def test_unfinished_runs_do_not_count(run) -> None:
    assert not measured_speeds([replace(run, result=None)])
    assert not measured_speeds([])
    assert speed_here({}) is None


def test_done_are_finished_and_pruned_runs(run, tiny_config) -> None:
    pruned = replace(run, result=None, status=run.status.model_copy(update={"state": "pruned"}))
    failed = replace(run, result=None, status=run.status.model_copy(update={"state": "failed"}))
    assert is_done(run.config, [run])
    assert is_done(run.config, [pruned])
    assert not is_done(run.config, [failed])
    assert not is_done(tiny_config(seed=1), [run])
