"""Time that checkpoints, a resume and the tracking of a run take from its training."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from switchhead_kernels.bench import Effort, interleave, stopwatch
from switchhead_lab.benchmark.step import (
    build_training_model,
    n_warm_up_steps,
    numbered_steps,
    step_runner_of,
)
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace, WorkspaceSettings
from switchhead_lab.tracking.mlflow_index import open_workspace_index
from switchhead_lab.tracking.record import MetricPoint, RunLabels, read_run
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.checkpoint import load_latest
from switchhead_lab.training.checkpoint_manifest import Progress
from switchhead_lab.training.checkpoint_writer import CheckpointWriter
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.step import StepRunner

_N_POINTS = 200


@dataclass(frozen=True)
class CheckpointCost:
    """What recording a model's run costs.

    Attributes:
        model: Name in the sweep.
        n_bytes: Size of a checkpoint.
        step_ms: Median training step.
        blocked_ms: Median time for which saving a checkpoint stops training.
        written_ms: Median time until it is on disk.
        slowed_ms: Median time by which steps are slowed meanwhile.
        load_ms: Median time to read and verify it, and to restore model and optimiser.
        point_ms: Recording one point in the run's directory and in MLflow.
        run_ms: Opening and closing the run in both, once.
        checkpoint_fraction: Cost of all checkpoints of a run, as a fraction of its training.
        tracking_fraction: The same of all its points, and of opening and closing it.
        resume_fraction: Cost of one resume after a signal, when no step is lost.
    """

    model: str
    n_bytes: int
    step_ms: float
    blocked_ms: float
    written_ms: float
    slowed_ms: float
    load_ms: float
    point_ms: float
    run_ms: float
    checkpoint_fraction: float
    tracking_fraction: float
    resume_fraction: float


@dataclass(frozen=True)
class CheckpointBench:
    """Costs of recording the runs of several models.

    Attributes:
        n_rounds: Checkpoints and steps timed per model.
        times: One entry per model.
    """

    n_rounds: int
    times: tuple[CheckpointCost, ...]


def bench_checkpoints(
    configs: Mapping[str, RunConfig],
    setup: ComputeSetup,
    n_rounds: int,
    folder: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> CheckpointBench:
    """Time the checkpoints and the tracking of runs, model by model.

    Args:
        configs: Configurations by name.
        setup: Device and precision.
        n_rounds: Checkpoints and steps timed per model.
        folder: Existing folder on the disk to time; emptied again.
        progress: Called with a line at each stage.

    Raises:
        StorageError: If the disk refuses a write.
    """
    times = []
    for name, config in configs.items():
        progress(f"timing {name}")
        with TemporaryDirectory(dir=folder) as scratch:
            times.append(_cost(name, config, setup, n_rounds, Path(scratch)))
    return CheckpointBench(n_rounds, tuple(times))


def _cost(
    name: str, config: RunConfig, setup: ComputeSetup, n_rounds: int, scratch: Path
) -> CheckpointCost:
    runner = step_runner_of(build_training_model(config), config, setup)
    take = numbered_steps(runner.step)
    for _ in range(n_warm_up_steps(config)):
        take()
    timed = {"": stopwatch(take, setup.device)}
    step = statistics.median(interleave(timed, Effort.exactly(n_rounds))[""])
    saves = [_save(config, runner, take, scratch, step) for _ in range(n_rounds)]
    blocked, written, slowed = (statistics.median(column) for column in zip(*saves, strict=True))
    load = statistics.median(_load(config, runner, scratch) for _ in range(n_rounds))
    # The first run of a workspace also creates MLflow's database.
    _track(config.model_copy(update={"seed": config.seed + 1}), scratch)
    point, opening = _track(config, scratch)
    training = config.training
    total = training.n_steps * step
    n_checkpoints = -(-training.n_steps // training.checkpoint_every)
    n_points = -(-training.n_steps // training.log_every)
    n_points += -(-training.n_steps // training.validate_every)
    return CheckpointCost(
        model=name,
        n_bytes=sum(tensor.nbytes for tensor in runner.tensors().values()),
        step_ms=1e3 * step,
        blocked_ms=1e3 * blocked,
        written_ms=1e3 * written,
        slowed_ms=1e3 * slowed,
        load_ms=1e3 * load,
        point_ms=1e3 * point,
        run_ms=1e3 * opening,
        checkpoint_fraction=n_checkpoints * (blocked + slowed) / total,
        tracking_fraction=(n_points * point + opening) / total,
        resume_fraction=load / total,
    )


def _save(
    config: RunConfig,
    runner: StepRunner,
    take: Callable[[], object],
    scratch: Path,
    step: float,
) -> tuple[float, float, float]:
    """Save a checkpoint and train on while it is written.

    Returns:
        Seconds for which training stopped, until it was on disk, and by which steps were slowed.
    """
    with CheckpointWriter(scratch / "checkpoints", identity(config)) as writer:
        started = time.perf_counter()
        writer.save(Progress(step=1), runner.tensors())
        blocked = time.perf_counter() - started
        n_steps = 0
        while not writer.is_idle:
            take()
            n_steps += 1
        writer.wait()
        written = time.perf_counter() - started
    return blocked, written, max(0.0, written - blocked - n_steps * step)


def _load(config: RunConfig, runner: StepRunner, scratch: Path) -> float:
    with _seconds() as seconds:
        loaded = load_latest(
            scratch / "checkpoints", identity(config), lambda _, tensors: runner.fault_of(tensors)
        )
        assert loaded is not None, "it was just saved"
        runner.load_tensors(loaded[1])
    return seconds[0]


def _track(config: RunConfig, scratch: Path) -> tuple[float, float]:
    """Record points of a run; return seconds for each, and for opening and closing it."""
    workspace = Workspace(scratch, WorkspaceSettings())
    workspace.runs_dir.mkdir(exist_ok=True)
    index = open_workspace_index(workspace)
    with _seconds() as opening:
        run = RunDir.open(
            workspace.runs_dir,
            config,
            RunLabels(size="bench", variant="model"),
            {},
            b"",
            unsynced_mark=index.unsynced_mark,
        )
        mirror = index.start_run(read_run(run.path))
    names = ("train/loss_nats", "train/learning_rate", "train/ms_per_step", "train/tokens_per_s")
    with _seconds() as adding:
        for number in range(_N_POINTS):
            point = MetricPoint(number + 1, number, time.time(), dict.fromkeys(names, 1.0))
            run.add(point)
            mirror.add(point)
    with _seconds() as closing:
        run.close("interrupted", _N_POINTS, "benchmark", "")
        mirror.finish("interrupted")
    return adding[0] / _N_POINTS, opening[0] + closing[0]


@contextmanager
def _seconds() -> Iterator[list[float]]:
    """Yield a list that holds the duration of the block once it ended."""
    found: list[float] = []
    started = time.perf_counter()
    yield found
    found.append(time.perf_counter() - started)
