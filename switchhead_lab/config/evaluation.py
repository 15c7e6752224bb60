"""The zero-shot tasks that a sweep's finished runs are evaluated on."""

from typing import Annotated

from pydantic import Field, field_validator

from switchhead_lab.config.zero_shot import tasks_named
from switchhead_lab.frozen_model import FrozenModel


class SweepEvaluation(FrozenModel):
    """An evaluation of every finished run of a sweep, except candidates of searches."""

    tasks: list[Annotated[str, Field(min_length=1)]] = Field(default=["pocket"], min_length=1)
    """Tasks, groups or suites, as for `lab eval --tasks`."""
    data_root: str = ""
    """Folder of the published files, relative to the workspace; empty for the Hugging Face hub.
    `~` is the home folder."""

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, tasks: list[str]) -> list[str]:
        tasks_named(tasks)
        return tasks
