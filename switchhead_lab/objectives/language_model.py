"""Language modelling."""

from typing import ClassVar, Literal

from switchhead_lab.objectives.base import Objective, Task, TrivialModel
from switchhead_lab.objectives.metrics import BITS_PER_BYTE, PERPLEXITY, Metric
from switchhead_lab.objectives.registry import register_objective


@register_objective
class LanguageModelling(Objective):
    """Predict the next token at every position."""

    metrics: ClassVar[tuple[Metric, ...]] = (PERPLEXITY, BITS_PER_BYTE)
    headline: ClassVar[Metric] = PERPLEXITY
    trivial: ClassVar[TrivialModel | None] = TrivialModel(
        "the unigram model", ("unigram_perplexity", "validation")
    )
    carries_memory: ClassVar[bool] = True
    predicts_next_token: ClassVar[bool] = True
    module: ClassVar[str] = "switchhead_lab.training.next_token:NextToken"

    kind: Literal["language_model"] = "language_model"

    def require_possible(self, task: Task) -> None:
        """Reject data without text, and models that see the tokens they predict."""
        if task.n_classes is not None:
            raise ValueError(
                f'data.kind="{task.data_kind}" has classes and no text, but objective.kind='
                '"language_model"; use objective.kind="classification"'
            )
        if task.direction == "bidirectional":
            raise ValueError(
                'model.direction="bidirectional" would see the tokens that objective.kind='
                '"language_model" predicts; use model.direction="causal"'
            )

    def n_outputs(self, task: Task) -> int:
        """Return the number of distinct tokens."""
        return task.vocab_size

    def target_shape(self, batch_size: int, seq_len: int) -> tuple[int, ...]:
        """Return the shape of one target per position."""
        return (batch_size, seq_len)
