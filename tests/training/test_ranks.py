"""Several ranks take the steps that one process takes, whatever the model."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ready_processes import CONTEXT

from switchhead_lab.benchmark.gpu.configs import SMALL_MODELS, small_config
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.errors import ConfigError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training import step as module
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.follower import describe, follow
from switchhead_lab.training.ranks import ALONE, Ranks, join_ranks
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner

pytestmark = pytest.mark.processes
N_RANKS, N_STEPS = 2, 3
SETUP = ComputeSetup(torch.device("cpu"), "fp32", {"device_name": "test"})
# Losses in nats of some thousand targets; sums in another order differ by 1e-6.
TOLERANCE = 2e-6
NORM_TOLERANCE = 2e-5


def config_of(name: str) -> RunConfig:
    """A small model of any kind with dropout, and four micro-batches a step."""
    tree = small_config(name, n_steps=N_STEPS).model_dump(mode="json")
    tree["data"]["corpus"] = "words"
    feedforward = tree["model"]["feedforward"]
    feedforward["p_dropout" if "p_dropout" in feedforward else "p_expert_dropout"] = 0.1
    tree["training"]["micro_batch_size"] = 1
    return RunConfig.model_validate(tree)


def take_steps(
    config: RunConfig, data_dir: Path, ranks: Ranks, sharing: Any
) -> dict[str, list[float]]:
    """Return the losses and gradient norms; AdamW alone would hide the gradients' scale."""
    training = config.training
    batches = open_dataset(data_dir, config.data).training_batches(
        training.batch_size, config.model.seq_len, config.seed
    )
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()
    runner = StepRunner(config, model, build_scorer(config), batches, SETUP, ranks, sharing)
    norms = []
    clip = module.take_clipped_step

    def noting(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        norm, is_finite = clip(*arguments)
        norms.append(float(norm))
        return norm, is_finite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "take_clipped_step", noting)
        losses = [runner.step(number)[0] for number in range(N_STEPS)]
    return {"losses": losses, "norms": norms}


def be_rank(rank: int, port: int, data_dir: Path, found: Any) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(N_RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    ranks = join_ranks()
    if not ranks.leads:
        follow(ranks)
        return
    losses = {}
    for name in SMALL_MODELS:
        config = config_of(name)
        losses[name] = {"alone": take_steps(config, data_dir, ALONE, "copies")}
        for sharing in ("copies", "parts"):
            with ranks.training(describe(config, data_dir, SETUP, sharing)):
                losses[name][sharing] = take_steps(config, data_dir, ranks, sharing)
    found.put(json.dumps(losses))
    ranks.leave()


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory, write_corpus: Any) -> dict[str, Any]:
    """Losses of every small model by how ranks share it, as two processes found them."""
    from switchhead_lab.data.token_store import register

    folder = tmp_path_factory.mktemp("ranks")
    register(folder / "data", write_corpus(folder / "words.txt"), "words")
    # Prepared once, not by both ranks.
    open_dataset(folder / "data", config_of("dense, RoPE").data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = CONTEXT.SimpleQueue()
    arguments = (port, folder / "data", found)
    processes = [
        CONTEXT.Process(target=be_rank, args=(rank, *arguments), daemon=True)
        for rank in range(N_RANKS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * N_RANKS
    values: dict[str, Any] = json.loads(found.get())
    return values


@pytest.mark.parametrize("sharing", ["copies", "parts"])
@pytest.mark.parametrize("name", SMALL_MODELS)
def test_ranks_take_the_steps_of_one_process(losses: Any, name: str, sharing: str) -> None:
    alone, shared = losses[name]["alone"], losses[name][sharing]
    assert shared["losses"] == pytest.approx(alone["losses"], rel=TOLERANCE)
    assert shared["norms"] == pytest.approx(alone["norms"], rel=NORM_TOLERANCE)
    assert alone["losses"][0] != alone["losses"][-1]


@pytest.fixture
def two_ranks() -> Iterator[Ranks]:
    """The leader of two ranks that are not connected."""
    return Ranks(0, N_RANKS)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"micro_batch_size": 4}, "into 1, which 2 ranks .*use training.micro_batch_size=2 or"),
        ({"batch_size": 3, "micro_batch_size": 1}, "use a number of ranks that divides batch_size"),
        ({"micro_batch_size": 2, "capture_step": True}, "a CUDA graph is captured by one process"),
    ],
)
def test_ranks_that_cannot_share_a_batch_are_told_what_fits(
    tiny_config: Any, two_ranks: Ranks, training: dict[str, Any], message: str
) -> None:
    config = tiny_config(**training)
    ALONE.require_equal_shares(config)
    with pytest.raises(ConfigError, match=message):
        two_ranks.require_equal_shares(config)


def test_micro_batches_are_shared_equally(two_ranks: Ranks) -> None:
    shares = [list(Ranks(rank, 3).share_of(6)) for rank in range(3)]
    assert shares == [[0, 1], [2, 3], [4, 5]]
    assert list(ALONE.share_of(2)) == [0, 1]


def test_torchrun_without_its_settings_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="WORLD_SIZE=2 but the ranks cannot connect"):
        join_ranks()
