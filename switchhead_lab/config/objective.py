"""The schema of training objectives, and what each of them needs."""

from typing import Annotated, Literal, assert_never

from pydantic import Field

from switchhead_lab.config.architecture import Direction
from switchhead_lab.config.data import DataConfig, ListOpsData
from switchhead_lab.frozen_model import FrozenModel


class LanguageModelling(FrozenModel):
    """Predict the next token at every position."""

    kind: Literal["language_model"] = "language_model"


class SequenceClassification(FrozenModel):
    """Predict the class of a whole sequence from pooled outputs."""

    kind: Literal["classification"]
    pooling: Literal["mean", "first"] = "mean"
    """Which outputs are pooled: the mean over all tokens of a sequence, or its first token's."""


ObjectiveConfig = Annotated[LanguageModelling | SequenceClassification, Field(discriminator="kind")]


def count_outputs(objective: ObjectiveConfig, data: DataConfig) -> int:
    """Return the width of the output layer: tokens to predict, or classes."""
    match objective:
        case LanguageModelling():
            return data.vocab_size
        case SequenceClassification():
            assert isinstance(data, ListOpsData), "classification needs classes"
            return data.n_classes
        case _:
            assert_never(objective)


def require_objective_possible(
    objective: ObjectiveConfig,
    data: DataConfig,
    *,
    direction: Direction,
    seq_len: int,
    context_multiple: int,
) -> None:
    """Refuse an objective that the data or the architecture cannot serve.

    Raises:
        ValueError: If there is no such training; the message says what there is.
    """
    match objective:
        case LanguageModelling():
            if isinstance(data, ListOpsData):
                raise ValueError(
                    'data.kind="listops" has classes and no text, but objective.kind='
                    '"language_model"; use objective.kind="classification"'
                )
            if direction == "bidirectional":
                raise ValueError(
                    'model.direction="bidirectional" would see the tokens that objective.kind='
                    '"language_model" predicts; use model.direction="causal"'
                )
        case SequenceClassification():
            if not isinstance(data, ListOpsData):
                raise ValueError(
                    'objective.kind="classification" but data.kind="text" has no classes; '
                    'use data.kind="listops"'
                )
            if context_multiple > 1:
                raise ValueError(
                    f"model.context_multiple={context_multiple} but objective.kind="
                    '"classification" has no memory: its sequences do not follow each other; '
                    "use model.context_multiple=1"
                )
            if data.max_length > seq_len:
                raise ValueError(
                    f"data.max_length={data.max_length} but model.seq_len={seq_len}; use a "
                    f"seq_len of at least {data.max_length} or shorter examples"
                )
        case _:
            assert_never(objective)
