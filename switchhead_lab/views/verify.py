"""Output of `lab verify`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from switchhead_lab.upkeep.check_list import CheckList


def failure_lines(checks: "CheckList") -> Iterator[str]:
    """Yield a line for each check of a record that failed."""
    for failure in checks.failures:
        yield f"{failure.path}: {failure.fault}; {failure.remedy}"


def note_lines(every: Iterable["CheckList"]) -> Iterator[str]:
    """Yield what could not be checked, equal notes once."""
    notes = dict.fromkeys(note for checks in every for note in checks.unchecked)
    yield from (f"not checked: {note}" for note in notes)


def summary_line(every: Sequence["CheckList"]) -> str:
    """Return the summary: how many checks of how many records failed."""
    n_checks = sum(checks.n_checks for checks in every)
    n_failed = sum(len(checks.failures) for checks in every)
    n_damaged = sum(bool(checks.failures) for checks in every)
    records = "1 record" if len(every) == 1 else f"{len(every)} records"
    if not n_failed:
        return f"{n_checks} checks of {records} passed"
    return f"{n_failed} of {n_checks} checks failed, in {n_damaged} of {records}"


def verification_as_data(every: Sequence["CheckList"]) -> dict[str, Any]:
    """Return all outcomes as plain data."""
    return {
        "is_intact": not any(checks.failures for checks in every),
        "n_checks": sum(checks.n_checks for checks in every),
        "records": [asdict(checks) for checks in every],
    }
