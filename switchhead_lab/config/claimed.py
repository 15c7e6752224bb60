"""What a claim about quality measures: a metric of a split, or a metric of zero-shot tasks.

The address of the latter is that of the metric in MLflow, `evaluation/<task or group>/<metric>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from switchhead_lab.config.claims import QualityClaim
from switchhead_lab.config.evaluation import SweepEvaluation
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.zero_shot import SUITES, TASK_NAMES, TaskMetric, TaskName, tasks_named
from switchhead_lab.objectives.base import Objective
from switchhead_lab.objectives.metrics import ACCURACY, LOSS, PERPLEXITY, Metric

Split = Literal["validation", "test"]
_SPLITS: dict[str, Split] = {"validation": "validation", "test": "test"}
_EVALUATION = "evaluation"
# Printed with the decimals of tables of zero-shot accuracies.
_TASK_METRICS: Mapping[str, Metric] = {
    ACCURACY.name: replace(ACCURACY, decimals=2),
    PERPLEXITY.name: PERPLEXITY,
}


@dataclass(frozen=True)
class SplitQuantity:
    """A metric of a split.

    Attributes:
        split: The split.
        metric: The metric.
    """

    split: Split
    metric: Metric

    @property
    def label(self) -> str:
        """Name in reports."""
        return f"{self.split} {self.metric.label}"


@dataclass(frozen=True)
class TaskQuantity:
    """A metric of a zero-shot task, or its unweighted mean over a group of tasks.

    Attributes:
        name: The task or the group.
        tasks: The tasks.
        metric_name: Name of the metric in addresses.
        metric: How it is formatted, and its direction.
    """

    name: str
    tasks: tuple[str, ...]
    metric_name: TaskMetric
    metric: Metric

    @property
    def label(self) -> str:
        """Name in reports."""
        return f"{self.name.replace('_', ' ')} {self.metric.label}"


Quantity = SplitQuantity | TaskQuantity


def quantity_of(
    quality: QualityClaim, objective: Objective, evaluation: SweepEvaluation | None
) -> Quantity:
    """Return what a claim is about.

    Args:
        quality: The claim.
        objective: The sweep's objective, which has the metrics of splits.
        evaluation: The evaluation that the sweep asks for.

    Raises:
        ValueError: If the objective, or the evaluation, does not have it.
    """
    if not quality.metric:
        return SplitQuantity("validation", objective.headline)
    metrics: Mapping[str, Metric] = {
        "loss": LOSS,
        **{metric.name: metric for metric in objective.metrics},
    }
    split, _, name = quality.metric.partition("/")
    if split == _EVALUATION:
        return _task_quantity(quality.metric, evaluation)
    if split in _SPLITS and name in metrics:
        return SplitQuantity(_SPLITS[split], metrics[name])
    known = [f"{split}/{name}" for split in _SPLITS for name in metrics] + _listed(evaluation)
    raise ValueError(
        f"{_where(quality.metric)}{near_miss(quality.metric, known)}: use one of {', '.join(known)}"
    )


def _task_quantity(address: str, evaluation: SweepEvaluation | None) -> TaskQuantity:
    quantity, asked = _quantities().get(address), _asked(evaluation)
    if quantity is not None and asked.issuperset(quantity.tasks):
        return quantity
    if quantity is None:
        reason = _unknown(address, evaluation)
    elif evaluation is None:
        reason = (
            ": the sweep evaluates no zero-shot task; add an [evaluation] table with "
            f'tasks = ["{quantity.name}"]'
        )
    else:
        n_asked = len(asked.intersection(quantity.tasks))
        count = f" ({n_asked} of its {len(quantity.tasks)} tasks)" if n_asked else ""
        tasks = ", ".join(f'"{task}"' for task in evaluation.tasks)
        reason = (
            f": evaluation.tasks = [{tasks}] does not ask for {quantity.name}{count}; add "
            f'"{quantity.name}" to it, or use one of {", ".join(_listed(evaluation))}'
        )
    raise ValueError(f"{_where(address)}{reason}")


def _unknown(address: str, evaluation: SweepEvaluation | None) -> str:
    """Return what is wrong with an address that no evaluation could have, and what to do."""
    name, asked = address.removeprefix(f"{_EVALUATION}/").partition("/")[0], _asked(evaluation)
    reason = f": {name} is a suite of different tasks and has no mean"
    if name not in SUITES:
        possible = [a for a, one in _quantities().items() if asked.issuperset(one.tasks)]
        reason = f"{near_miss(address, possible or list(_quantities()))}: no such metric"
    if evaluation is None:
        return f"{reason}; use evaluation/<task>/accuracy, with the task in an [evaluation] table"
    return f"{reason}; use one of {', '.join(_listed(evaluation))}"


def _where(address: str) -> str:
    return f'claims: quality.metric = "{address}"'


@cache
def _quantities() -> Mapping[str, TaskQuantity]:
    """Return the metrics of every task and group, by their addresses."""
    groups: dict[str, list[TaskName]] = {}
    for task in TASK_NAMES:
        for name in dict.fromkeys((task.group, task.name)):
            groups.setdefault(name, []).append(task)
    return {
        f"{_EVALUATION}/{name}/{metric}": TaskQuantity(
            name, tuple(task.name for task in tasks), metric, _TASK_METRICS[metric]
        )
        for name, tasks in groups.items()
        for metric in tasks[0].metrics
    }


def _asked(evaluation: SweepEvaluation | None) -> set[str]:
    """Return the tasks that a sweep asks for."""
    return set() if evaluation is None else {one.name for one in tasks_named(evaluation.tasks)}


def _listed(evaluation: SweepEvaluation | None) -> list[str]:
    """Return the addresses of an evaluation, without those of tasks whose mean has one."""
    asked = _asked(evaluation)
    possible = {a: one for a, one in _quantities().items() if asked.issuperset(one.tasks)}
    means = {task for one in possible.values() if len(one.tasks) > 1 for task in one.tasks}
    return [address for address, one in possible.items() if one.name not in means]
