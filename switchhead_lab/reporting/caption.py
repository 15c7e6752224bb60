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
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.paired import unpaired_lines
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.statistics import MISSING


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


# Words for the printed columns of costs relative to the baseline.
_COST_WORDS = {
    "relative_macs": "attention MACs",
    "relative_model_macs": "model MACs",
    "relative_memory_floats": "attention memory",
    "relative_interleaved_ms_per_step": "time of a step",
}


def latex_caption(data: ReportData, lines: Sequence[str], table: Grid) -> str:
    """Return the caption of the table in LaTeX: what it shows, and what else to read.

    Args:
        data: The report's data.
        lines: Sentences of the caption; all of them are in the notes.
        table: The table as printed.
    """
    printed = {column.key for column in table.printed_columns()}
    costs = [words for key, words in _COST_WORDS.items() if key in printed]
    relative = (
        f"; {', '.join(costs)} relative to {data.baseline.name} by the "
        f"{data.record.sweep.convention} convention"
    )
    return (
        f"{loud_words(lines)}{title(data)}. Means ± sample standard deviations over n seeds"
        f"{relative if costs else ''}."
    )


def loud_words(lines: Sequence[str]) -> str:
    """Return the gaps and warnings for a caption in print: one in full, several as a count."""
    words = []
    for word, noun in zip(LOUD, ("gaps", "warnings"), strict=True):
        found = [line for line in lines if line.startswith(word)]
        if len(found) == 1 and word == LOUD[0]:
            words.append(f"{found[0]} ")
        elif found:
            count = f"1 {noun.removesuffix('s')}" if len(found) == 1 else f"{len(found)} {noun}"
            words.append(f"{word}: {count}; see the notes. ")
    return "".join(words)


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
    """Yield the models selected with one of their seeds, which would bias their means."""
    quantity, metric = data.quality.validation, data.quality.metric
    for row in data.models:
        seed, n_counted = row.selection_seed, len(row.counted)
        if seed not in [run.member.seed for run in row.finished]:
            continue
        if n_counted == len(row.finished):
            yield (
                f"{row.name} was selected with seed {seed}, the only one with a result, so its "
                "result is biased."
            )
            continue
        biased = row.statistics_of_all(quantity).text(quantity.decimals)
        yield (
            f"{row.name} was selected with seed {seed}; its means and comparisons are over its "
            f"other seeds. With that seed, which biases it, its validation {metric.label} is "
            f"{biased}."
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
