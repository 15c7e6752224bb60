"""Two runs side by side: the configuration fields that differ, and the results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking.record import RunRecord


@dataclass(frozen=True)
class FieldDifference:
    """A configuration field that differs between two runs.

    Attributes:
        field: Dotted name.
        first: Value in the first run; None if it has no such field.
        second: Value in the second run; None if it has no such field.
    """

    field: str
    first: Any
    second: Any


@dataclass(frozen=True)
class ResultPair:
    """The values of one figure in two results.

    Attributes:
        figure: Name of the figure in `RunResult`.
        first: Value in the first run; None if it has no result.
        second: Value in the second run; None if it has no result.
    """

    figure: str
    first: float | str | None
    second: float | str | None

    @property
    def difference(self) -> float | None:
        """Second minus first; None unless both are numbers."""
        if isinstance(self.first, int | float) and isinstance(self.second, int | float):
            return self.second - self.first
        return None


def differing_fields(first: RunConfig, second: RunConfig) -> list[FieldDifference]:
    """Return the fields in which two configurations differ, in schema order."""
    a = dict(flatten(first.model_dump(mode="json")))
    b = dict(flatten(second.model_dump(mode="json")))
    return [
        FieldDifference(field, a.get(field), b.get(field))
        for field in {**a, **b}
        if field not in a or field not in b or a[field] != b[field]
    ]


def paired_results(first: RunRecord, second: RunRecord) -> list[ResultPair]:
    """Return the figures of two runs side by side; empty if neither has a result."""
    a = first.result.model_dump() if first.result else {}
    b = second.result.model_dump() if second.result else {}
    return [ResultPair(figure, a.get(figure), b.get(figure)) for figure in {**a, **b}]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested tables with dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
