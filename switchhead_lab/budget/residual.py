"""What a matched model has more or less than the baseline."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig


@dataclass(frozen=True)
class Difference:
    """What a model has more (or, negative, less) of something than the baseline.

    Attributes:
        absolute: The difference.
        fraction: The same over what the baseline has.
    """

    absolute: int
    fraction: float


@dataclass(frozen=True)
class MatchResidual:
    """How far a matched model is from the baseline.

    Attributes:
        parameters: Of the whole model.
        attention_macs: Of one attention layer, one sequence, in the counter's convention.
        layer_macs: Of attention and feed-forward block together, likewise.
    """

    parameters: Difference
    attention_macs: Difference
    layer_macs: Difference


def match_residual(
    model: ModelConfig,
    baseline: ModelConfig,
    counter: CostCounter,
    vocab_size: int,
    n_outputs: int | None = None,
) -> MatchResidual:
    """Compare a model's parameters and MACs with the baseline's.

    Args:
        model: The model.
        baseline: The dense baseline.
        counter: Counts MACs.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; as many as there are tokens if left out.
    """

    def difference(count: Callable[[ModelConfig], int]) -> Difference:
        base = count(baseline)
        return Difference(count(model) - base, count(model) / base - 1.0)

    return MatchResidual(
        parameters=difference(lambda m: count_parameters(m, vocab_size, n_outputs).total),
        attention_macs=difference(counter.attention_macs),
        layer_macs=difference(counter.layer_macs),
    )
