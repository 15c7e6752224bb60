"""Scoring a whole split."""

import contextlib
import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from switchhead_lab.data.batches import Batch
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.router_use import NO_USE, RouterUse, count_use
from switchhead_lab.model.transformer import Memory
from switchhead_lab.objectives.metrics import Totals
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.ranks import ALONE, Ranks
from switchhead_lab.training.scoring import Score, ScoredModel


@dataclass(frozen=True)
class SplitScore:
    """Scores of every target of a split.

    Attributes:
        totals: Sums over the targets, from which the objective computes its metrics.
        router_use: How experts were used; empty for a dense model.
    """

    totals: Totals
    router_use: RouterUse = NO_USE

    def plus(self, other: "SplitScore") -> "SplitScore":
        """Return the score of the targets of both."""
        return SplitScore(self.totals.plus(other.totals), self.router_use.plus(other.router_use))

    def as_text(self) -> str:
        """Return it in JSON, as ranks send it."""
        return json.dumps({"totals": asdict(self.totals), "use": self.router_use.as_data()})

    @classmethod
    def from_text(cls, text: str) -> "SplitScore":
        """Return what `as_text` wrote."""
        values = json.loads(text)
        return cls(Totals(**values["totals"]), RouterUse.from_data(values["use"]))


def score_split(
    scored: ScoredModel,
    batches: Iterable[Batch],
    setup: ComputeSetup,
    keep_going: Callable[[], None] = lambda: None,
    ranks: Ranks = ALONE,
) -> SplitScore:
    """Score a split with memory carried along its streams; each target counts once.

    Several ranks share the rows of each batch; only the leader gets the score of all.

    Args:
        scored: Model on the device of `setup` and how its predictions are scored; its training
            mode is restored afterwards.
        batches: The whole split, each target once.
        setup: Device and precision.
        keep_going: Called between batches; may raise to stop.
        ranks: Call it on all of them.

    Raises:
        TrainingError: If the loss is not finite.
        RankLostError: If another rank is lost.
    """
    scorer, was_training = scored.scorer, scored.training
    scored.eval()
    total = SplitScore(Totals(0.0, 0))
    memory: Memory = ()
    for number, given in enumerate(batches):
        keep_going()
        batch = scorer.prepare(given, scorer.config.evaluation_draw(number))
        own = _own_rows(len(batch.inputs_BT), ranks)
        # Where ranks hold parts of the model, each must run as often as the others.
        rows = own if len(own) else np.arange(1)
        with _without_gradients(ranks), _autocast(setup):
            score = scored(
                torch.from_numpy(batch.inputs_BT[rows]).to(setup.device),
                torch.from_numpy(batch.targets[rows]).to(setup.device),
                () if batch.starts_stream else memory,
            )
        memory = score.memory
        if len(own):
            n_targets = replace(batch, targets=batch.targets[own]).n_targets
            total = total.plus(_score_of(score, n_targets, len(own)))
    scored.train(was_training)
    total = _sum_over(ranks, total)
    loss_sum = total.totals.loss_nats
    if not math.isfinite(loss_sum):
        raise TrainingError(
            f"the loss of a split is {loss_sum}: the weights are unusable. Try a lower "
            "learning_rate or more warm-up",
            cause="non-finite",
        )
    return total


@contextlib.contextmanager
def _without_gradients(ranks: Ranks) -> Iterator[None]:
    # Weights that are gathered in inference mode could not be trained afterwards.
    with torch.no_grad(), torch.inference_mode(mode=ranks.is_alone):
        yield


def _autocast(setup: ComputeSetup) -> torch.autocast:
    return torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.precision == "bf16")


def _own_rows(n_rows: int, ranks: Ranks) -> NDArray[np.int64]:
    """Return the numbers of this rank's rows of a batch, possibly none.

    Rows of a stream stay on their rank, since its batches have equally many.
    """
    return np.array_split(np.arange(n_rows), ranks.n_ranks)[ranks.rank]


def _score_of(score: Score, n_targets: int, n_rows: int) -> SplitScore:
    counts = {name: float(count.detach()) for name, count in score.counts.items()}
    totals = Totals(float(score.loss_nats_sum.detach()), n_targets, counts)
    return SplitScore(totals, count_use(score.choices, n_rows))


def _sum_over(ranks: Ranks, own: SplitScore) -> SplitScore:
    """Return the sum of all ranks' scores on the leader, its own on followers."""
    if ranks.is_alone:
        return own
    scores = [SplitScore.from_text(text) for text in ranks.gather_texts(own.as_text())]
    return functools.reduce(SplitScore.plus, scores) if scores else own
