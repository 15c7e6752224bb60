"""One run by several processes of torchrun: the records of one process, and no fault loses them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w
import torch
from lab_processes import SECONDS, wait_until
from ready_processes import LabProcess
from tiny_runs import StopAtFour, train

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.record import RunRecord, find_by_config, read_run

pytestmark = pytest.mark.processes
LOSS = "train/loss_nats"
# Sums in another order differ by 1e-7 a step.
TOLERANCE = 1e-5


def torchrun(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of `lab` in two processes of torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [*command, "-m", "switchhead_lab", *arguments],
        cwd=workspace.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_ranks(workspace: Workspace, *arguments: str) -> list[LabProcess]:
    """Start a command in two processes with the environment that torchrun gives them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    ranks = []
    for rank in map(str, range(2)):
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        environment = {**os.environ, **address, **places, "GLOO_SOCKET_IFNAME": "lo"}
        ranks.append(LabProcess(*arguments, cwd=workspace.root, environment=environment))
    return ranks


def run_by_ranks(workspace: Workspace, *arguments: str) -> str:
    ranks = start_ranks(workspace, *arguments)
    output = "".join("".join(rank.communicate(timeout=SECONDS)) for rank in ranks)
    assert [rank.returncode for rank in ranks] == [0, 0], output
    return output


def write(workspace: Workspace, config: RunConfig) -> str:
    path = workspace.root / "model.toml"
    path.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    return path.name


def record_of(workspace: Workspace, config: RunConfig) -> RunRecord:
    path = find_by_config(workspace.runs_dir, config)
    assert path is not None
    return read_run(path)


def losses_of(record: RunRecord) -> list[float]:
    return [point.metrics[LOSS] for point in record.metrics() if LOSS in point.metrics]


def steps_done(workspace: Workspace) -> int:
    return sum(len(path.read_text().splitlines()) for path in metrics_of(workspace))


def metrics_of(workspace: Workspace) -> list[Path]:
    return list(workspace.runs_dir.glob("*/metrics.jsonl"))


def share(workspace: Workspace, sharing: str) -> None:
    with (workspace.root / "lab.toml").open("a") as file:
        file.write(f'sharing = "{sharing}"\n')


def ranks_of(job: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """Return a job's processes by rank."""
    children = psutil.Process(job.pid).children()
    return {int(process.environ()["RANK"]): process for process in children}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train in this process under the conditions of the ranks."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def config(tiny_config: Any) -> RunConfig:
    """A SwitchHead with memory and dropout, four micro-batches, and time to be interrupted."""
    made = tiny_config("switchhead", n_steps=40, micro_batch_size=1, checkpoint_every=4)
    tree = made.model_dump(mode="json")
    tree["model"]["context_multiple"] = 2
    tree["training"]["validate_every"] = 20
    return RunConfig.model_validate(tree)


@pytest.fixture
def alone(config: RunConfig, workspace: Workspace) -> RunRecord:
    """The run by a single process, undisturbed; its record is set aside."""
    run = train(workspace, config)
    return read_run(run.directory.rename(workspace.root / "undisturbed"))


def require_equal(found: RunRecord, alone: RunRecord) -> None:
    assert losses_of(found) == pytest.approx(losses_of(alone), rel=TOLERANCE)
    assert len(losses_of(found)) == 40
    for split in ("validation", "test"):
        ours, theirs = (getattr(x.result, split)["loss_nats"] for x in (found, alone))
        assert ours == pytest.approx(theirs, rel=TOLERANCE)


def test_ranks_continue_what_one_process_began(
    workspace: Workspace, config: RunConfig, alone: RunRecord
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAtFour()])
    output = run_by_ranks(workspace, "train", write(workspace, config))
    found = record_of(workspace, config)
    require_equal(found, alone)
    assert found.provenance["device"]["n_ranks"] == 2
    # Rank 0 alone speaks and records.
    assert output.count("records: ") == 1


def test_a_rank_that_loses_the_other_ends_and_one_process_continues(
    workspace: Workspace, config: RunConfig, alone: RunRecord
) -> None:
    """F20, with weights and optimiser state in parts."""
    share(workspace, "parts")
    ranks = start_ranks(workspace, "train", write(workspace, config))
    try:
        wait_until(lambda: steps_done(workspace) >= 5 or ranks[0].poll() is not None)
        ranks[1].kill()
        outputs = [rank.communicate(timeout=60) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert ranks[0].returncode not in (0, None), outputs
    require_continued_by_one(workspace, config, alone)


@pytest.mark.thorough
def test_a_lost_rank_ends_the_job_of_torchrun(
    workspace: Workspace, config: RunConfig, alone: RunRecord
) -> None:
    share(workspace, "parts")
    job = torchrun(workspace, "train", write(workspace, config))
    wait_until(lambda: steps_done(workspace) >= 5 or job.poll() is not None)
    ranks_of(job)[1].kill()
    output, _ = job.communicate(timeout=60)
    assert job.returncode != 0, output
    require_continued_by_one(workspace, config, alone)


def require_continued_by_one(workspace: Workspace, config: RunConfig, alone: RunRecord) -> None:
    """Require an interrupted run with a checkpoint in parts, which one process takes to its end."""
    interrupted = record_of(workspace, config)
    assert interrupted.status.state == "interrupted"
    (newest,) = sorted((interrupted.directory / "checkpoints").iterdir())[-1:]
    assert len(list(newest.glob("shard-*.safetensors"))) == 2
    require_equal(train(workspace, config), alone)


@pytest.mark.thorough
def test_errors_under_torchrun_are_printed_once(workspace: Workspace, tiny_config: Any) -> None:
    config = tiny_config("dense")
    job = torchrun(workspace, "train", write(workspace, config))
    output, _ = job.communicate(timeout=SECONDS)
    assert job.returncode != 0
    assert output.count("error: ") == 1, output
    assert "use training.micro_batch_size=2" in output
    assert not metrics_of(workspace)
