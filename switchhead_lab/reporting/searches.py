"""What the figure of a search shows: its candidates in order, and where their values lie."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.config.search import FieldValues, Range, Study, Value
from switchhead_lab.number_text import round_count
from switchhead_lab.reporting.report_data import CandidateRow, ReportData

_FEWEST = 2
# Importances of fewer candidates would be noise.
_FEWEST_FOR_IMPORTANCE = 8
_MOST_LABELS = 5


@dataclass(frozen=True)
class Dimension:
    """A searched field as a vertical axis from 0 to 1.

    Attributes:
        name: The field.
        labels: Heights with the values there.
    """

    name: str
    labels: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Candidate:
    """A candidate with a result.

    Attributes:
        trial_number: Number of its trial.
        quality: The metric as drawn; lower is better.
        heights: Where its values lie, one for each dimension.
    """

    trial_number: int
    quality: float
    heights: tuple[float, ...]


@dataclass(frozen=True)
class Search:
    """The candidates of a study.

    Attributes:
        study: Its name.
        quality_label: Name of the metric.
        dimensions: The searched fields.
        candidates: Candidates with a finite result, by trial.
        without_result: Trial numbers of pruned, failed and infeasible ones.
        importances: Fields with their shares of importance, the largest first; empty if there are
            too few candidates.
    """

    study: str
    quality_label: str
    dimensions: tuple[Dimension, ...]
    candidates: tuple[Candidate, ...]
    without_result: tuple[int, ...]
    importances: tuple[tuple[str, float], ...] = ()

    @property
    def best(self) -> Candidate:
        """The first candidate with the lowest value."""
        return min(self.candidates, key=lambda one: (one.quality, one.trial_number))


def read_searches(data: ReportData) -> Iterator[Search]:
    """Yield each study with at least two results to compare."""
    for study in data.record.sweep.all_studies:
        rows = [row for row in data.candidates if row.study == study.name]
        search = _search(study, rows, data)
        if len(search.candidates) >= _FEWEST:
            yield search


def _search(study: Study, rows: Sequence[CandidateRow], data: ReportData) -> Search:
    # Figures show lower-is-better quantities, such as errors for accuracies.
    read = data.quality.drawn.read
    results = {
        row.trial_number: read(row.run.result)
        for row in rows
        if row.trial_number is not None and row.run is not None and row.run.result is not None
    }
    finite = {number: value for number, value in results.items() if math.isfinite(value)}
    candidates = tuple(
        Candidate(row.trial_number, finite[row.trial_number], tuple(_heights(study, row)))
        for row in rows
        if row.trial_number is not None and row.trial_number in finite
    )
    others = (row.trial_number for row in rows if row.trial_number is not None)
    return Search(
        study=study.name,
        quality_label=data.quality.drawn_heading,
        dimensions=tuple(_dimension(name, values) for name, values in study.space.items()),
        candidates=candidates,
        without_result=tuple(number for number in others if number not in finite),
        importances=_importances(study, rows, finite),
    )


def _importances(
    study: Study, rows: Sequence[CandidateRow], results: Mapping[int, float]
) -> tuple[tuple[str, float], ...]:
    known = [
        (row.point, results[row.trial_number])
        for row in rows
        if row.trial_number is not None and row.trial_number in results
    ]
    if len(known) < _FEWEST_FOR_IMPORTANCE:
        return ()
    # Deferred: importing Optuna takes longer than writing a report without searches.
    from switchhead_lab.reporting.importance import field_importances

    found = field_importances(study, known)
    return tuple((_field_name(name), share) for name, share in found)


def _heights(study: Study, row: CandidateRow) -> Iterator[float]:
    for name, values in study.space.items():
        yield _height(values, row.point[name])


def _height(values: FieldValues, value: Value) -> float:
    """Return where a value lies between 0 and 1; choices are equally far apart."""
    if not isinstance(values, Range):
        place = list(values).index(value) if value in values else 0
        return place / max(1, len(values) - 1)
    number = float(value)
    if values.log:
        return math.log(number / values.low) / math.log(values.high / values.low)
    return (number - values.low) / (values.high - values.low)


def _dimension(name: str, values: FieldValues) -> Dimension:
    if isinstance(values, Range):
        ends = [values.low, values.high]
        shown = values.values if values.values and len(values.values) <= _MOST_LABELS else ends
    else:
        shown = list(values)
    labels = tuple((_height(values, value), _text(value)) for value in shown)
    return Dimension(_field_name(name), labels)


def _field_name(path: str) -> str:
    return path.removeprefix("training.")


def _text(value: Value) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return round_count(value) if value >= 1 else f"{value:g}"
