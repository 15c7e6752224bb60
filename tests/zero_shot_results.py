"""Results of zero-shot tasks as `lab eval` records them, without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from switchhead_lab.config.zero_shot import tasks_named
from switchhead_lab.tracking.evaluations import (
    Estimate,
    Sample,
    TaskResult,
    estimates_of,
    evaluation_dir,
    write_task_result,
)

_TEXTS = ("documents", "documents_version", "documents_sha256", "model")
_IDS = ("weights_id", "tokenizer_id", "precision", "harness")


def write_accuracy(run_dir: Path, task: str, accuracy: float) -> None:
    """Write the result of a task with an accuracy that its sample does not give."""
    metrics = {"acc": Estimate(value=accuracy, stderr=0.01)}
    samples = [Sample(0, {"acc": 1.0}, [], [])]
    _write(run_dir, task, samples, metrics, {"n_documents": 100})


def write_answers(
    run_dir: Path, task: str, right: Sequence[float], nats: Sequence[float] = (), **fields: Any
) -> None:
    """Write the result of a task with its samples.

    Args:
        run_dir: Directory of the run.
        task: Name of the task.
        right: 1 for each right answer, 0 for a wrong one.
        nats: Log-likelihood of each word to predict, for tasks with a perplexity.
        fields: Other fields of the result.
    """
    samples = [Sample(number, {"acc": value}, [], []) for number, value in enumerate(right)]
    for sample, value in zip(samples, nats, strict=False):
        sample.metrics["perplexity"] = value
    _write(run_dir, task, samples, estimates_of(samples), {"n_documents": len(right), **fields})


def _write(
    run_dir: Path,
    task: str,
    samples: Sequence[Sample],
    metrics: dict[str, Estimate],
    fields: dict[str, Any],
) -> None:
    (found,) = tasks_named([task])
    values = {
        **dict.fromkeys((*_TEXTS, *_IDS), "x"),
        **{"task": task, "group": found.group, "kind": found.kind, "chance": found.chance},
        **{"version": 1.0, "seconds": 1.0, "model": run_dir.name, "metrics": metrics},
    }
    result = TaskResult(**(values | fields))
    write_task_result(evaluation_dir(run_dir), result, samples)
