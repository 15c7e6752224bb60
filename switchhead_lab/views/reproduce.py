"""Output of `lab reproduce`."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from switchhead_lab.upkeep.reproduction import Difference, Reproduction


def reproduction_as_data(found: "Reproduction") -> dict[str, Any]:
    """Return a comparison as plain data."""
    return {"is_identical": found.is_identical, **asdict(found)}


def reproduction_lines(found: "Reproduction") -> Iterator[str]:
    """Yield the verdict on a reproduced run, with what differs around it."""
    conditions = found.conditions
    yield from (f"note: {note}" for note in conditions.notes)
    if found.is_identical:
        scores = " and the final scores" if found.compares_result else ""
        yield (
            f"identical: {found.n_equal} of {found.n_points} points, up to step "
            f"{found.steps}{scores}"
        )
        if conditions.changes:
            yield "although these changed since the run:"
            yield from (f"  {change}" for change in conditions.changes)
        return
    if found.difference is not None:
        yield _difference_line(found.difference)
    else:
        yield f"training ended early: {found.failure}"
    yield f"equal before that: {found.n_equal} of {found.n_points} points"
    if conditions.changes:
        yield "changed since the run:"
        yield from (f"  {change}" for change in conditions.changes)
    else:
        yield "nothing that is recorded has changed since the run"
    yield f"  code at commit {conditions.recorded_commit} before, {conditions.commit} now"


def _difference_line(difference: "Difference") -> str:
    recorded, found = (
        "missing" if value is None else repr(value)
        for value in (difference.recorded, difference.found)
    )
    return (
        f"differs at step {difference.step}: {difference.metric} is {recorded} in the record, "
        f"{found} now"
    )
