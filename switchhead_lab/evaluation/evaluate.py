"""Evaluates a model on zero-shot tasks, one after the other; finished ones are not repeated."""

import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from switchhead_lab.evaluation.documents.task_documents import TaskDocuments
from switchhead_lab.evaluation.harness import run_task
from switchhead_lab.evaluation.language_models import LanguageModel
from switchhead_lab.evaluation.sources import read_documents
from switchhead_lab.evaluation.tasks import Task
from switchhead_lab.tracking.evaluations import (
    TaskResult,
    estimates_of,
    read_task_result,
    write_task_result,
)

Report = Callable[[str], None]


def evaluate_tasks(
    model: LanguageModel,
    tasks: Sequence[Task],
    directory: Path,
    *,
    data_root: Path | None = None,
    batch_size: int | None = None,
    report: Report = lambda _line: None,
) -> Iterator[TaskResult]:
    """Yield the result of each task, from the folder if it already follows from the same inputs.

    Args:
        model: The model.
        tasks: Tasks, evaluated in order.
        directory: Folder of the results.
        data_root: Folder of the published files; None for the hub.
        batch_size: Sequences that are read together; results do not depend on it.
        report: Called with a line about progress.

    Raises:
        ConfigError: If the hub has to be used and cannot be reached.
        DataError: If a file is missing or not as published; before anything is scored.
        RecordError: If an earlier result is damaged.
    """
    # All at once, so that a wrong file is found before the first task takes its time.
    documents = [read_documents(task, data_root) for task in tasks]
    report_soon = _reporter(report)
    for number, (task, found) in enumerate(zip(tasks, documents, strict=True), start=1):
        expected = _result(model, task, found)
        earlier = read_task_result(directory, task.name)
        if earlier is not None and earlier.identity == expected.identity:
            yield earlier
            continue
        started = time.perf_counter()
        samples = run_task(
            model,
            task,
            found.documents,
            batch_size=batch_size,
            report=partial(report_soon, f"{task.name} ({number} of {len(tasks)})"),
        )
        result = expected.model_copy(
            update={
                "metrics": estimates_of(samples),
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
        write_task_result(directory, result, samples)
        yield result


def _result(model: LanguageModel, task: Task, documents: TaskDocuments) -> TaskResult:
    """Return a result without its outcome."""
    return TaskResult(
        task=task.name,
        group=task.group,
        kind=task.kind,
        version=task.version,
        chance=task.chance,
        metrics={},
        n_documents=len(documents.documents),
        # Without the folder, which says nothing elsewhere.
        documents=Path(documents.source).name if task.suite == "paper" else documents.source,
        documents_version=documents.version,
        documents_sha256=documents.sha256,
        model=model.name,
        weights_id=model.weights_id,
        tokenizer_id=model.tokenizer_id,
        precision=model.precision,
        harness=_harness_version(),
        seconds=0.0,
    )


@cache
def _harness_version() -> str:
    return importlib.metadata.version("lm_eval")


_REPORT_SECONDS = 10.0


def _reporter(report: Report) -> Callable[[str, int, int], None]:
    """Return a callback that reports progress every few seconds."""
    last = time.monotonic()

    def on_progress(title: str, n_done: int, n_all: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            report(f"  {title}: {n_done:,} of {n_all:,} sequences")

    return on_progress
