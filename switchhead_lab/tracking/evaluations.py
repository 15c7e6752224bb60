"""Results of zero-shot tasks, recorded beside the model that was evaluated.

<folder>/evaluation/<task>.json            TaskResult
<folder>/evaluation/<task>.samples.jsonl   one line per document, in order
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from switchhead_lab.config.names import EntryName
from switchhead_lab.config.zero_shot import TaskMetric
from switchhead_lab.errors import RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.record_files import read_model

EVALUATION_DIR = "evaluation"
ACCURACY, PERPLEXITY = "acc", "perplexity"
HARNESS_NAMES: Mapping[TaskMetric, str] = {"accuracy": ACCURACY, "perplexity": PERPLEXITY}
"""Names of metrics by the harness, as results have them."""


class Estimate(FrozenModel):
    """A metric of a task."""

    value: float | None
    """Its value; null if infinite."""
    stderr: float | None
    """Its standard error over documents; null for a single document."""


class TaskResult(FrozenModel):
    """Result of one task."""

    task: EntryName
    """Name of the task, and of its files."""
    group: str
    """Name of the mean that it is part of; its own name if there is none."""
    kind: str
    """What is asked."""
    version: float
    """Version of the task."""
    chance: float | None
    """Accuracy of guessing; null if next to nothing."""
    metrics: dict[str, Estimate]
    """Metrics by the harness's names, such as "acc"."""
    n_documents: int
    """Documents that were scored."""
    documents: str
    """Where the documents come from."""
    documents_version: str
    """Version of how they are read or made."""
    documents_sha256: str
    """SHA-256 of their file, or of the documents themselves."""
    model: str
    """Name of the model."""
    weights_id: str
    """Identity of the weights."""
    tokenizer_id: str
    """Identity of the tokenizer."""
    precision: str
    """Precision of matmuls."""
    harness: str
    """Version of lm-evaluation-harness."""
    seconds: float
    """Wall time."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What the result follows from; another result with the same is the same."""
        return (
            *(self.task, self.version, self.n_documents, self.documents_version),
            *(self.documents_sha256, self.weights_id, self.tokenizer_id, self.precision),
            self.harness,
        )


@dataclass(frozen=True)
class Sample:
    """The outcome of one document.

    Attributes:
        number: Number of the document in its task.
        metrics: Value of each metric; for "perplexity" the log-likelihood, as in the harness.
        nats: Log-likelihood of each scored continuation.
        is_greedy: Whether each of them is what greedy decoding writes.
    """

    number: int
    metrics: dict[str, float]
    nats: list[float]
    is_greedy: list[bool]


def estimates_of(samples: Sequence[Sample]) -> dict[str, Estimate]:
    """Return the metrics of a task with their standard errors over documents."""
    return {
        name: _estimate(name, [s.metrics[name] for s in samples]) for name in samples[0].metrics
    }


def _estimate(name: str, values: Sequence[float]) -> Estimate:
    middle = mean(values)
    stderr = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    if name != PERPLEXITY:
        return Estimate(value=middle, stderr=stderr)
    # exp of the mean loss of the continuations; its error by the delta method.
    value = math.exp(-middle) if -middle < 700 else math.inf
    if not math.isfinite(value):
        return Estimate(value=None, stderr=None)
    return Estimate(value=value, stderr=None if stderr is None else value * stderr)


def evaluation_dir(folder: Path) -> Path:
    """Return the folder of results beside a model."""
    return folder / EVALUATION_DIR


def result_path(directory: Path, task: str) -> Path:
    """Return the file of a task's result."""
    return directory / f"{task}.json"


def samples_path(directory: Path, task: str) -> Path:
    """Return the file of a task's samples."""
    return directory / f"{task}.samples.jsonl"


def write_task_result(directory: Path, result: TaskResult, samples: Iterable[Sample]) -> None:
    """Write the result of a task and its samples; the result last, so that it vouches for both.

    Raises:
        StorageError: If the disk refuses the write.
        WorkspaceError: If the folder is not writable.
    """
    make_directory(directory)
    path = result_path(directory, result.task)
    path.unlink(missing_ok=True)
    lines = [json.dumps(_sample_as_data(sample), separators=(",", ":")) for sample in samples]
    write_text(samples_path(directory, result.task), "".join(f"{line}\n" for line in lines))
    write_text(path, json.dumps(result.model_dump(mode="json"), indent=2) + "\n")


def _sample_as_data(sample: Sample) -> dict[str, Any]:
    return {
        "number": sample.number,
        "metrics": sample.metrics,
        "nats": sample.nats,
        "is_greedy": sample.is_greedy,
    }


def read_task_result(directory: Path, task: str) -> TaskResult | None:
    """Return the result of a task; None if there is none.

    Raises:
        RecordError: If the file is damaged.
    """
    path = result_path(directory, task)
    return read_model(TaskResult, path) if path.is_file() else None


def read_task_results(directory: Path) -> list[TaskResult]:
    """Return all results in a folder, by name of the task.

    Raises:
        RecordError: If a file is damaged.
    """
    return [read_model(TaskResult, path) for path in sorted(directory.glob("*.json"))]


def read_samples(directory: Path, task: str) -> list[Sample]:
    """Return the samples of a task, in order.

    Raises:
        RecordError: If the file is missing or damaged.
    """
    path = samples_path(directory, task)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise RecordError(f"{path}: missing; run `lab eval` again") from None
    except UnicodeDecodeError:
        raise RecordError(f"{path}: damaged; delete it and run `lab eval` again") from None
    try:
        return [Sample(**json.loads(line)) for line in lines]
    except (ValueError, TypeError):
        raise RecordError(f"{path}: damaged; delete it and run `lab eval` again") from None


def group_estimates(
    results: Iterable[TaskResult], metric: str = ACCURACY
) -> Mapping[str, Estimate]:
    """Return a metric by group: the unweighted mean over the group's tasks.

    The standard error is over documents, which tasks do not share.
    """
    groups: dict[str, list[Estimate]] = {}
    for result in results:
        if metric in result.metrics:
            groups.setdefault(result.group, []).append(result.metrics[metric])
    return {name: mean_estimate(estimates) for name, estimates in groups.items()}


def mean_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """Return the unweighted mean of a metric over tasks, with its error over documents."""
    if len(estimates) == 1:
        return estimates[0]
    values = [one.value for one in estimates]
    errors = [one.stderr for one in estimates]
    n = len(estimates)
    return Estimate(
        value=None if None in values else sum(v for v in values if v is not None) / n,
        stderr=None
        if None in errors
        else math.sqrt(sum(e**2 for e in errors if e is not None)) / n,
    )
