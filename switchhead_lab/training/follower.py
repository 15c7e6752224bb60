"""What the ranks other than the first do: obey the leader until it leaves."""

import contextlib
import json
import signal
from pathlib import Path
from typing import cast

from switchhead_lab.config.files import parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.dataset import Dataset, open_dataset
from switchhead_lab.data.documents import Split
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup
from switchhead_lab.training.ranks import Action, Ranks
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.sharing import Sharing
from switchhead_lab.training.step import StepRunner
from switchhead_lab.training.validation import score_split


def describe(config: RunConfig, data_dir: Path, setup: ComputeSetup, sharing: Sharing) -> str:
    """Return what followers need to know of a run.

    Args:
        config: Its configuration.
        data_dir: The workspace's prepared data, on a disk that all ranks see.
        setup: The leader's device and precision.
        sharing: How the ranks share the model.
    """
    values = {"data_dir": str(data_dir), "device": setup.device.type, "precision": setup.precision}
    values["sharing"] = sharing
    return json.dumps({**values, "config": config.model_dump(mode="json")})


def follow(ranks: Ranks) -> None:
    """Obey the leader until it leaves.

    Raises:
        RankLostError: If the leader or another rank is lost.
        LabError: If the data cannot be read, or the device does not fit the run.
    """
    # The leader gets the same signals, and decides when all end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    while (order := ranks.await_order()).action is not Action.LEAVE:
        if order.action is Action.TRAIN:
            _follow_run(ranks, order.text)


def _follow_run(ranks: Ranks, description: str) -> None:
    values = json.loads(description)
    config = parse(RunConfig, values["config"], "the leader's run")
    setup = prepare_setup(
        values["device"], values["precision"], compiles_blocks=config.training.compile_blocks
    )
    dataset = open_dataset(Path(values["data_dir"]), config.data)
    training = config.training
    batches = dataset.training_batches(training.batch_size, config.model.seq_len, config.seed)
    # The leader's weights replace these.
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()
    runner = StepRunner(
        config, model, build_scorer(config), batches, setup, ranks, values["sharing"]
    )
    while (order := ranks.await_order()).action is not Action.RELEASE:
        match order.action:
            case Action.STEP:
                # The leader sees the same loss and ends the run.
                with contextlib.suppress(TrainingError):
                    runner.step(order.number)
            case Action.SCORE:
                _score(runner, dataset, config, setup, cast(Split, order.text))
            case Action.COLLECT:
                runner.tensors()
            case Action.WRITE:
                # The leader reports it.
                with contextlib.suppress(OSError, TrainingError):
                    runner.write_parts(Path(order.text))
            case Action.RESTORE:
                runner.receive_tensors(order.text)


def _score(
    runner: StepRunner, dataset: Dataset, config: RunConfig, setup: ComputeSetup, split: Split
) -> None:
    rows, seq_len = config.training.batch_size, config.model.seq_len
    batches = dataset.evaluation_batches(split, rows, seq_len)
    score_split(runner.scored, batches, setup, ranks=runner.ranks)
