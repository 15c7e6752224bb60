"""Scoring a whole split."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import evaluation_batches
from switchhead_lab.model.router_use import NO_USE, RouterUse, count_use
from switchhead_lab.model.transformer import LanguageModel, Memory
from switchhead_lab.training.host import Host
from switchhead_lab.training.objectives import Objective


@dataclass(frozen=True)
class SplitScore:
    """Loss over every target of a split.

    Attributes:
        loss_nats: Mean negative log-likelihood per token.
        n_targets: Tokens scored.
        router_use: How experts were used; empty for a dense model.
    """

    loss_nats: float
    n_targets: int
    router_use: RouterUse = NO_USE

    @property
    def perplexity(self) -> float:
        """Exp of the mean loss; infinite where that overflows."""
        return math.exp(self.loss_nats) if self.loss_nats < 700 else math.inf

    def bits_per_byte(self, n_bytes: int) -> float:
        """Return the code length of the split per byte of its text."""
        return self.loss_nats * self.n_targets / math.log(2) / n_bytes


@torch.inference_mode()
def score_split(
    model: LanguageModel,
    objective: Objective,
    tokens: npt.NDArray[np.uint16],
    config: RunConfig,
    host: Host,
    keep_going: Callable[[], None] = lambda: None,
) -> SplitScore:
    """Score a split with memory carried along its streams; every target counts once.

    Args:
        model: Model on the host's device; its training mode is restored afterwards.
        objective: How predictions are scored.
        tokens: The split, as one stream.
        config: Gives batch size and chunk length, which are those of training.
        host: Device and arithmetic.
        keep_going: Called between batches; may raise to stop.
    """
    was_training = model.training
    model.eval()
    loss_sum, n_targets, use = 0.0, 0, NO_USE
    memory: Memory = ()
    for batch in evaluation_batches(tokens, config.training.batch_size, config.model.seq_len):
        keep_going()
        with torch.autocast(host.device.type, torch.bfloat16, enabled=host.precision == "bf16"):
            score = objective.score(
                model,
                torch.from_numpy(batch.inputs_BT).to(host.device),
                torch.from_numpy(batch.targets_BT).to(host.device),
                () if batch.starts_stream else memory,
            )
        memory = score.memory
        loss_sum += float(score.loss_nats_sum)
        n_targets += score.n_targets
        use = use.plus(count_use(score.choices, len(batch.inputs_BT)))
    model.train(was_training)
    return SplitScore(loss_sum / n_targets, n_targets, use)
