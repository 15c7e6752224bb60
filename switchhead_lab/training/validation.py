"""Scoring a whole split."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from switchhead_lab.data.batches import Batch
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.router_use import NO_USE, RouterUse, count_use
from switchhead_lab.model.transformer import Memory, Transformer
from switchhead_lab.objectives.metrics import Totals
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import Scorer


@dataclass(frozen=True)
class SplitScore:
    """Scores of every target of a split.

    Attributes:
        totals: Sums over the targets, from which the objective computes its metrics.
        router_use: How experts were used; empty for a dense model.
    """

    totals: Totals
    router_use: RouterUse = NO_USE


@torch.inference_mode()
def score_split(
    model: Transformer,
    scorer: Scorer,
    batches: Iterable[Batch],
    setup: ComputeSetup,
    keep_going: Callable[[], None] = lambda: None,
) -> SplitScore:
    """Score a split with memory carried along its streams; each target counts once.

    Args:
        model: Model on the device of `setup`; its training mode is restored afterwards.
        scorer: How predictions are scored.
        batches: The whole split, each target once.
        setup: Device and precision.
        keep_going: Called between batches; may raise to stop.

    Raises:
        TrainingError: If the loss is not finite.
    """
    was_training = model.training
    model.eval()
    loss_sum, n_targets, use = 0.0, 0, NO_USE
    counts: dict[str, float] = {}
    memory: Memory = ()
    for number, given in enumerate(batches):
        keep_going()
        batch = scorer.prepare(given, scorer.config.evaluation_draw(number))
        with torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.precision == "bf16"):
            score = scorer.score(
                model,
                torch.from_numpy(batch.inputs_BT).to(setup.device),
                torch.from_numpy(batch.targets).to(setup.device),
                () if batch.starts_stream else memory,
            )
        memory = score.memory
        loss_sum += float(score.loss_nats_sum)
        n_targets += batch.n_targets
        for name, count in score.counts.items():
            counts[name] = counts.get(name, 0.0) + float(count)
        use = use.plus(count_use(score.choices, len(batch.inputs_BT)))
    model.train(was_training)
    if not math.isfinite(loss_sum):
        raise TrainingError(
            f"the loss of a split is {loss_sum}: the weights are unusable. Try a lower "
            "learning_rate or more warm-up",
            cause="non-finite",
        )
    return SplitScore(Totals(loss_sum, n_targets, counts), use)
