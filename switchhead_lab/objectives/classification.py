"""Classification of whole sequences."""

from typing import ClassVar, Literal

from switchhead_lab.objectives.base import Objective, Task, TrivialModel, require_no_memory
from switchhead_lab.objectives.metrics import ACCURACY, PERPLEXITY, Metric
from switchhead_lab.objectives.registry import register_objective


@register_objective
class SequenceClassification(Objective):
    """Predict the class of a whole sequence from pooled outputs."""

    metrics: ClassVar[tuple[Metric, ...]] = (PERPLEXITY, ACCURACY)
    headline: ClassVar[Metric] = ACCURACY
    trivial: ClassVar[TrivialModel | None] = TrivialModel(
        "always guessing the most frequent class", ("splits", "validation", "majority_fraction")
    )
    module: ClassVar[str] = "switchhead_lab.training.sequence_class:SequenceClass"

    kind: Literal["classification"]
    pooling: Literal["mean", "first"] = "mean"
    """How outputs are pooled: mean over all tokens of a sequence, or its first token."""

    def require_possible(self, task: Task) -> None:
        """Reject data without classes, memory, and examples longer than a chunk."""
        if task.n_classes is None or task.example_length is None:
            raise ValueError(
                f'objective.kind="classification" but data.kind="{task.data_kind}" has no classes; '
                'use labelled examples, such as data.kind="listops"'
            )
        require_no_memory(self.kind, task.context_multiple)
        if task.example_length > task.seq_len:
            raise ValueError(
                f'examples of data.kind="{task.data_kind}" have up to {task.example_length} tokens '
                f"but model.seq_len={task.seq_len}; use a seq_len of at least "
                f"{task.example_length} or shorter examples"
            )

    def n_outputs(self, task: Task) -> int:
        """Return the number of classes."""
        assert task.n_classes is not None, "classification needs classes"
        return task.n_classes

    def target_shape(self, batch_size: int, seq_len: int) -> tuple[int, ...]:
        """Return the shape of one target per sequence."""
        del seq_len
        return (batch_size,)
