"""The schema of training objectives, and the properties of a configuration they depend on."""

from typing import Annotated

from switchhead_lab.config.architecture import ModelSizes
from switchhead_lab.config.data import DataConfig
from switchhead_lab.objectives import builtin  # noqa: F401 (registers the built-in ones)
from switchhead_lab.objectives.base import Objective, Task
from switchhead_lab.objectives.language_model import LanguageModelling
from switchhead_lab.objectives.registry import any_objective

ObjectiveConfig = Annotated[Objective, any_objective()]
DEFAULT_OBJECTIVE = LanguageModelling()
"""The objective if none is given."""


def task_of(data: DataConfig, model: ModelSizes) -> Task:
    """Return the properties of data and model that an objective depends on."""
    return Task(
        data_kind=data.kind,
        vocab_size=data.vocab_size,
        n_classes=data.n_classes,
        example_length=data.example_length,
        direction=model.direction,
        seq_len=model.seq_len,
        context_multiple=model.context_multiple,
    )
