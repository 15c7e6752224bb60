"""Run directories and records of sweeps, made without training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from run_makers import MakePoint, MakeRun, OpenRun, WriteSweep

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunLabels,
    RunRecord,
    RunResult,
    RunState,
    read_run,
)
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord

TOKENS_PER_STEP = 64


def point(step: int, value: float = 0.0, time: float = 1_700_000_000.25) -> MetricPoint:
    metrics = {"train/loss_nats": value or 3.0 / step}
    return MetricPoint(step, step * TOKENS_PER_STEP, time + step, metrics)


def result_of(perplexity: float = 2.5) -> RunResult:
    return RunResult(
        validation_loss_nats=1.0,
        validation_perplexity=perplexity,
        validation_bits_per_byte=1.5,
        test_loss_nats=1.1,
        test_perplexity=perplexity + 0.5,
        test_bits_per_byte=1.6,
        n_parameters=12_345,
        n_steps=6,
        n_tokens=6 * TOKENS_PER_STEP,
        ms_per_step=3.25,
        tokens_per_second=1000.0,
        training_seconds=2.0,
        device="cpu (test)",
        precision="fp32",
    )


@pytest.fixture
def make_point() -> MakePoint:
    """Make a point of a step; its time follows from the step, its value can be given."""
    return point


@pytest.fixture
def result() -> RunResult:
    return result_of()


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
def open_run(runs_dir: Path, tiny_config: Callable[..., RunConfig]) -> Iterator[OpenRun]:
    """Start an attempt of a run; keyword arguments go into its configuration."""
    opened: list[RunDir] = []

    def make(attention: str = "dense", *, sweep: str = "", **config: object) -> RunDir:
        provenance = {
            "git": {"commit": "c0ffee", "branch": "main", "dirty": True},
            "data_manifest": {"digest": "d1"},
        }
        labels = RunLabels(size="tiny", variant=attention, sweep=sweep)
        run = RunDir.open(runs_dir, tiny_config(attention, **config), labels, provenance, b"diff")
        opened.append(run)
        return run

    yield make
    for run in opened:
        run._metrics.close()


@pytest.fixture
def make_run(open_run: OpenRun) -> MakeRun:
    """Make a run directory with three points."""

    def make(
        state: RunState = "finished", attention: str = "dense", *, sweep: str = "", **config: object
    ) -> RunRecord:
        run = open_run(attention, sweep=sweep, **config)
        for step in (1, 2, 3):
            run.add(point(step))
        if state == "finished":
            run.finish(result_of())
        elif state != "running":
            run.close(state, 3, "because")
        return read_run(run.path)

    return make


@pytest.fixture
def write_sweep(runs_dir: Path) -> WriteSweep:
    """Write the record of a sweep with these runs."""

    def write(name: str, runs: list[RunRecord], started_at: float = 1.0) -> SweepRecord:
        record = sweep_of(name, runs, started_at)
        SweepDir.of(runs_dir, record.sweep).write(record)
        return record

    return write


def sweep_of(name: str, runs: list[RunRecord], started_at: float) -> SweepRecord:
    config = runs[0].config
    sweep = Sweep(
        name=name,
        size="tiny",
        matching="parameter_matched",
        data=config.data,
        model={"d_model": 16, "n_layers": 2, "seq_len": 16},
        training=config.training,
        baseline={"n_heads": 4, "d_head": 4, "d_ff": 32},
    )
    members = [
        SweepMember(
            model="dense",
            role="baseline",
            seed=run.config.seed,
            run_name=run.name,
            run_hash=run.run_hash,
            state=run.status.state,
        )
        for run in runs
    ]
    return SweepRecord(sweep=sweep, started_at=started_at, updated_at=started_at, members=members)
