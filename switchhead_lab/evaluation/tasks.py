"""Zero-shot tasks as lm-evaluation-harness reads them, and the suites they form.

The configurations of LAMBADA and BLiMP are the harness's own, which a test compares; it has no CBT.
Pocket tasks ask the same three kinds of questions about other documents; their names say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from switchhead_lab.config.zero_shot import TASK_NAMES, Kind, TaskName, tasks_named
from switchhead_lab.errors import ConfigError
from switchhead_lab.evaluation.documents.cbt import BLANK

_ACCURACY = {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
_PERPLEXITY = {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}


@dataclass(frozen=True)
class Task(TaskName):
    """A zero-shot task.

    Attributes:
        version: Version of the task, raised when the same documents give other results.
    """

    version: float = 1.0

    @property
    def split(self) -> str:
        """Split of the documents, by the harness's configuration."""
        return "train" if self.kind == "minimal pairs" else "test"

    @property
    def config(self) -> dict[str, Any]:
        """The harness's configuration, without the source of the documents."""
        return {"task": self.name, "metadata": {"version": self.version}, **_CONFIGS[self.kind]}

    @property
    def compiled_config(self) -> dict[str, Any]:
        """The same with functions for templates, which the harness compiles for every document."""
        return {**self.config, **_FUNCTIONS[self.kind]}


def completed_queries(document: Mapping[str, Any]) -> list[str]:
    """Return the query of a cloze document with each candidate in place of the blank."""
    return [document["query"].replace(BLANK, word) for word in document["candidates"]]


_CONFIGS: dict[Kind, dict[str, Any]] = {
    "last word": {
        "output_type": "loglikelihood",
        "test_split": "test",
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
        "doc_to_target": "{{' '+text.split(' ')[-1]}}",
        "metric_list": [_PERPLEXITY, _ACCURACY],
    },
    "minimal pairs": {
        "output_type": "multiple_choice",
        "validation_split": "train",
        "doc_to_text": "",
        "doc_to_target": 0,
        "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
        "num_fewshot": 0,
        "metric_list": [_ACCURACY],
    },
    # The whole completed query is scored, since the words after the blank tell most.
    "cloze": {
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{context}}",
        "doc_to_target": "{{answer}}",
        "doc_to_choice": completed_queries,
        "num_fewshot": 0,
        "metric_list": [_ACCURACY],
    },
}

_FUNCTIONS: dict[Kind, dict[str, Callable[[Mapping[str, Any]], object]]] = {
    "last word": {
        "doc_to_text": lambda document: document["text"].rpartition(" ")[0],
        "doc_to_target": lambda document: " " + document["text"].rpartition(" ")[2],
    },
    "minimal pairs": {
        "doc_to_text": lambda _document: "",
        "doc_to_choice": lambda document: [document["sentence_good"], document["sentence_bad"]],
    },
    "cloze": {
        "doc_to_text": lambda document: document["context"],
        "doc_to_target": lambda document: document["answer"],
    },
}

TASKS: tuple[Task, ...] = tuple(Task(one.name, one.kind, one.group) for one in TASK_NAMES)
"""All tasks, in the order of tables."""


def find_tasks(names: Sequence[str]) -> list[Task]:
    """Return tasks by name, in the order of `TASKS`.

    Args:
        names: Names of tasks, of groups such as "blimp", or of suites.

    Raises:
        ConfigError: If a name is unknown.
    """
    try:
        wanted = {task.name for task in tasks_named(names)}
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return [task for task in TASKS if task.name in wanted]
