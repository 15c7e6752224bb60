"""Checks of what training recorded: metrics, result and checkpoints."""

import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import LabError
from switchhead_lab.evaluation.language_models import weights_id_of
from switchhead_lab.tracking import file_names as files
from switchhead_lab.tracking.record import MetricPoint, RunResult, read_metrics
from switchhead_lab.tracking.record_files import read_model
from switchhead_lab.training.checkpoint import load_checkpoint
from switchhead_lab.training.layout import weights_of
from switchhead_lab.upkeep.check_list import CheckList

_RETRAIN = "restore it from a copy, or train the run again with --retrain"


def check_metrics(
    checks: CheckList, directory: Path, config: RunConfig
) -> list[MetricPoint] | None:
    """Check that every line is a point, and that steps and tokens fit the configuration.

    Returns:
        The points; None if one is not as it should be.
    """
    path = directory / files.METRICS_FILE
    points: list[MetricPoint] = []
    with checks.reading(path, _RETRAIN):
        points = list(read_metrics(path))
    checks.require(
        path.is_file() and (path.stat().st_size == 0 or path.read_bytes().endswith(b"\n")),
        path,
        "is missing, or its last line is truncated",
        "the next start of the run removes a truncated line; a missing file has to be restored",
    )
    for number, point in enumerate(points, start=1):
        if fault := _fault_of(point, points[number - 2] if number > 1 else None, config):
            checks.require(False, path, f"line {number}: {fault}", _RETRAIN)
            return None
    checks.require(True, path, "", "")
    return points


def _fault_of(point: MetricPoint, before: MetricPoint | None, config: RunConfig) -> str:
    if not isinstance(point.metrics, dict) or not all(map(_is_finite, point.metrics.values())):
        return "a metric is not a finite number"
    if not isinstance(point.step, int) or not 0 < point.step <= config.training.n_steps:
        return f"step {point.step}, of {config.training.n_steps}"
    if point.tokens != point.step * config.tokens_per_step:
        return f"{point.tokens} tokens, {point.step * config.tokens_per_step} expected"
    if before is not None and point.step < before.step:
        return f"step {point.step} follows step {before.step}"
    return ""


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def check_result(
    checks: CheckList, directory: Path, config: RunConfig, points: list[MetricPoint] | None
) -> None:
    """Check that the result of a finished run follows from its configuration and metrics.

    Args:
        checks: Where to note the outcome.
        directory: The run's directory.
        config: Its configuration.
        points: What `check_metrics` returned.
    """
    path = directory / files.RESULT_FILE
    if points is None or not path.exists():
        return
    try:
        result = read_model(RunResult, path)
    except LabError:  # a check of its own
        return
    faults = [*_faults_of_sizes(result, config), *_faults_of_scores(result, points, config)]
    checks.require(not faults, path, "; ".join(faults), _RETRAIN)


def _faults_of_sizes(result: RunResult, config: RunConfig) -> Iterator[str]:
    n_steps = config.training.n_steps
    n_parameters = count_parameters(config.model, config.vocab_size, config.n_outputs).total
    for name, found, expected in (
        ("n_steps", result.n_steps, n_steps),
        ("n_tokens", result.n_tokens, n_steps * config.tokens_per_step),
        ("n_parameters", result.n_parameters, n_parameters),
    ):
        if found != expected:
            yield f"{name} is {found}, but {expected} follows from the configuration"


def _faults_of_scores(
    result: RunResult, points: list[MetricPoint], config: RunConfig
) -> Iterator[str]:
    last = [point for point in points if point.step == config.training.n_steps]
    if not last:
        yield f"{files.METRICS_FILE} has no point of the last step"
    prefix = "validation/"
    for point in last:
        for key, value in point.metrics.items():
            name = key.removeprefix(prefix)
            if name == key or name not in result.validation:
                continue
            if result.validation[name] != value:
                recorded = result.validation[name]
                yield f"validation_{name} is {recorded}, but the last point has {value}"
    times = [p.metrics["train/ms_per_step"] for p in points if "train/ms_per_step" in p.metrics]
    if times and not math.isclose(statistics.median(times), result.ms_per_step, rel_tol=1e-9):
        yield f"ms_per_step is {result.ms_per_step}, the median of the points is another"


def check_checkpoints(checks: CheckList, directory: Path, run_hash: str) -> dict[str, str]:
    """Check every checkpoint: both hashes, the run, and that all values are finite.

    Returns:
        The identity of the weights of each intact checkpoint, by the name of its folder.
    """
    weights = {}
    for path in sorted((directory / files.CHECKPOINTS_DIR).glob("step-*")):
        with checks.reading(path, "delete the folder; the run resumes from an earlier one"):
            _, tensors = load_checkpoint(path, run_hash)
            weights[path.name] = weights_id_of(weights_of(tensors))
    return weights
