"""Scoring a whole split."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from switchhead_lab.data.batches import Batch
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.router_use import NO_USE, RouterUse, count_use
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.training.host import Host
from switchhead_lab.training.objectives import Objective


@dataclass(frozen=True)
class SplitScore:
    """Loss over every target of a split.

    Attributes:
        loss_nats: Mean negative log-likelihood per target.
        n_targets: Targets scored: tokens, or examples.
        router_use: How experts were used; empty for a dense model.
        n_correct: Targets predicted right; None where the objective does not ask.
    """

    loss_nats: float
    n_targets: int
    router_use: RouterUse = NO_USE
    n_correct: int | None = None

    @property
    def accuracy(self) -> float | None:
        """Fraction of the targets predicted right; None where the objective does not ask."""
        return None if self.n_correct is None else self.n_correct / self.n_targets

    @property
    def perplexity(self) -> float:
        """Exp of the mean loss; infinite where that overflows."""
        return perplexity_of(self.loss_nats)

    def bits_per_byte(self, n_bytes: int | None) -> float | None:
        """Return the code length of the split per byte of its text; None if it is no text."""
        if n_bytes is None:
            return None
        return self.loss_nats * self.n_targets / math.log(2) / n_bytes


def perplexity_of(loss_nats: float) -> float:
    """Return exp of a mean loss in nats; infinite where that overflows."""
    return math.exp(loss_nats) if loss_nats < 700 else math.inf


@torch.inference_mode()
def score_split(
    model: Transformer,
    objective: Objective,
    batches: Iterable[Batch],
    host: Host,
    keep_going: Callable[[], None] = lambda: None,
) -> SplitScore:
    """Score a split with memory carried along its streams; every target counts once.

    Args:
        model: Model on the host's device; its training mode is restored afterwards.
        objective: How predictions are scored.
        batches: The whole split, every target once.
        host: Device and arithmetic.
        keep_going: Called between batches; may raise to stop.

    Raises:
        TrainingError: If the loss is not finite.
    """
    was_training = model.training
    model.eval()
    loss_sum, n_targets, use = 0.0, 0, NO_USE
    n_correct: int | None = None
    memory: Memory = ()
    for batch in batches:
        keep_going()
        with torch.autocast(host.device.type, torch.bfloat16, enabled=host.precision == "bf16"):
            score = objective.score(
                model,
                torch.from_numpy(batch.inputs_BT).to(host.device),
                torch.from_numpy(batch.targets).to(host.device),
                () if batch.starts_stream else memory,
            )
        memory = score.memory
        loss_sum += float(score.loss_nats_sum)
        n_targets += batch.n_targets
        if score.n_correct is not None:
            n_correct = (n_correct or 0) + int(score.n_correct)
        use = use.plus(count_use(score.choices, len(batch.inputs_BT)))
    model.train(was_training)
    if not math.isfinite(loss_sum):
        raise TrainingError(
            f"the loss of a split is {loss_sum}: the weights are of no use. Try a lower "
            "learning_rate or more warm-up",
            cause="non-finite",
        )
    return SplitScore(loss_sum / n_targets, n_targets, use, n_correct)
