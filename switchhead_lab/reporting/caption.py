"""The caption of a report: setup, data, units and caveats."""

from collections.abc import Iterable, Iterator, Sequence

from switchhead_lab.budget.residual import describe_rule
from switchhead_lab.config.search import describe_point, objectives_of
from switchhead_lab.reporting.checks import (
    incomplete_lines,
    trivial_values,
    warning_lines,
)
from switchhead_lab.reporting.cost_table import matched_lines
from switchhead_lab.reporting.paired import unpaired_lines
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.statistics import MISSING, Statistics


def title(data: ReportData) -> str:
    """Return the heading of a report, with the accounting convention."""
    sweep = data.record.sweep
    return (
        f"{sweep.name}, size {sweep.size}: {sweep.data.corpus}, "
        f"{describe_rule(sweep.matching, sweep.convention)}"
    )


LOUD = ("INCOMPLETE", "WARNING")
"""First words of sentences that belong beside every table."""


def labelled(label: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield sentences with a label in front; gaps and warnings keep their first word."""
    for line in lines:
        word, colon, rest = line.partition(":")
        is_loud = colon and word in LOUD
        yield f"{word}: {label}:{rest}" if is_loud else f"{label}: {line}"


def latex_caption(data: ReportData, lines: Sequence[str]) -> str:
    """Return the caption of the table in LaTeX: what it shows, gaps and warnings.

    Args:
        data: The report's data.
        lines: Sentences of the caption; all of them are in the notes.
    """
    loud = "".join(f"{line} " for line in lines if line.startswith(LOUD))
    return (
        f"{loud}{title(data)}. Means ± sample standard deviations over n seeds; attention and "
        f"model MACs, attention memory and time of a step relative to {data.baseline.name}."
    )


def caption_lines(data: ReportData, notes: Sequence[str] = (), times: str = "") -> list[str]:
    """Return the sentences of the caption; gaps and warnings come first.

    Args:
        data: The report's data.
        notes: Notes on the selection of records.
        times: Sentence about step times.
    """
    return [
        *incomplete_lines(data),
        *warning_lines(data),
        *notes,
        *fact_lines(data),
        *reading_lines(data, times),
    ]


def fact_lines(data: ReportData) -> list[str]:
    """Return a sweep's rule, data, training budget and devices, one sentence each."""
    sweep = data.record.sweep
    training = sweep.training
    rule = describe_rule(sweep.matching, sweep.convention)
    n_tokens = training.n_steps * training.batch_size * sweep.model.seq_len
    return [
        f"Sweep {sweep.name}, size {sweep.size}, {rule}.",
        *matched_lines(data),
        f"{sweep.data.describe()}; {training.n_steps:,} steps, {n_tokens:,} tokens read.",
        f"Device: {_devices(data)}.",
        *_trivial(data),
    ]


def reading_lines(data: ReportData, times: str) -> list[str]:
    """Return how to read the tables of a sweep: units, spreads and selection.

    Args:
        data: The report's data.
        times: Sentence about step times.
    """
    convention, baseline = data.record.sweep.convention, data.baseline.name
    lines = [
        "Attention MACs (multiply-accumulates, forward) and memory (floats saved for the backward "
        f"pass) are per attention layer and sequence, model MACs per token of the whole model, all "
        f"by the {convention} convention; other conventions are in the table of costs. "
        f"Columns with / {baseline} are relative to the dense baseline.",
        "Mean ± sample standard deviation over n seeds; a single seed has no deviation. "
        + same_seeds(data.quality),
        *unpaired_lines(data.models, data.baseline),
        *_selected(data),
        *filter(None, [times]),
        f"{MISSING}: not applicable (a dense model has no experts) or not available.",
    ]
    studies = data.record.sweep.all_studies
    if studies:
        objective = data.record.sweep.objective
        metrics = dict.fromkeys(objectives_of(study, objective)[0].label for study in studies)
        lines.insert(
            2,
            f"The best of a search is chosen on {' or '.join(metrics)}, with one "
            f"seed; test {data.quality.metric.label} is shown and chooses nothing.",
        )
    return lines + _tuned(data)


def same_seeds(quality: Quality) -> str:
    """Return the sentence about the seeds that comparisons of results are over."""
    compared = "Ratios" if quality.metric.is_compared_by_ratio else "Differences"
    return (
        f"{compared} of results compare the same seeds of both models; n is given where it differs."
    )


def _selected(data: ReportData) -> Iterator[str]:
    """Yield the selected models' means without the seed they were selected with."""
    quantity, metric = data.quality.validation, data.quality.metric
    for row in data.models:
        statistics = row.statistics(quantity)
        if not row.point or statistics.n < 2 or row.finished[0].member.seed != row.seeds[0]:
            continue
        others = Statistics(statistics.values[1:], statistics.n - 1)
        yield (
            f"{row.name} was selected with seed {row.seeds[0]}, which biases its mean; without "
            f"that seed its validation {metric.label} is {others.text(quantity.decimals)}."
        )


def _tuned(data: ReportData) -> list[str]:
    """Return the training fields that every model was tuned over, with the chosen values."""
    sweep = data.record.sweep
    space = sweep.tuned_space
    if not space:
        return []
    found = [
        f"{row.name} {describe_point({path: row.point[path] for path in space})}"
        for row in data.models
        if row.point
    ]
    before = {path: getattr(sweep.training, path.partition(".")[2]) for path in space}
    return [
        f"Every model was tuned over {', '.join(space)}, with {sweep.n_tuning_trials} candidates "
        f"each (the sweep's own: {describe_point(before)}): {'; '.join(found) or 'none finished'}."
    ]


def _trivial(data: ReportData) -> Iterator[str]:
    """Yield the metric of the trivial model, which ignores the inputs."""
    objective = data.record.sweep.objective
    metric, trivial = objective.headline, objective.trivial
    if trivial is not None:
        texts = [metric.text(value) for value in trivial_values(data)]
        yield (
            f"{metric.label.capitalize()} of {trivial.name}, on the validation split: "
            f"{', '.join(texts) or 'not recorded'}; an untrained model is no better than that."
        )


def _devices(data: ReportData) -> str:
    devices = sorted(set().union(*(row.devices() for row in data.models)))
    return ", ".join(f"{device} ({precision})" for device, precision in devices) or "none yet"
