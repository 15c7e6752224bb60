"""Checks of recorded evaluations."""

from collections.abc import Mapping
from pathlib import Path

from switchhead_lab.tracking.evaluations import (
    TaskResult,
    estimates_of,
    evaluation_dir,
    read_samples,
)
from switchhead_lab.tracking.record_files import read_model
from switchhead_lab.upkeep.check_list import CheckList

_AGAIN = "delete it and run `lab eval` again"


def check_evaluations(checks: CheckList, directory: Path, weights: Mapping[str, str]) -> None:
    """Check that results follow from their samples, and are about weights that the run has.

    Args:
        checks: Where to note the outcome.
        directory: The run's directory.
        weights: Identity of the weights by checkpoint, as `check_checkpoints` returns it.
    """
    for path in sorted(evaluation_dir(directory).glob("*.json")):
        result: TaskResult | None = None
        with checks.reading(path, _AGAIN):
            result = read_model(TaskResult, path)
        if result is None:
            continue
        checks.require(path.stem == result.task, path, f"has the task {result.task}", _AGAIN)
        with checks.reading(path, _AGAIN):
            samples = read_samples(path.parent, path.stem)
            found = estimates_of(samples) if samples else {}
            is_same = len(samples) == result.n_documents and found == result.metrics
            checks.require(is_same, path, "its metrics do not follow from its samples", _AGAIN)
        if weights:
            checks.require(
                result.weights_id in weights.values(),
                path,
                f"scores weights {result.weights_id[:12]}, which no checkpoint of the run has",
                _AGAIN,
            )
        else:
            checks.unchecked.append(f"weights of {path.name}: the run has no intact checkpoint")
