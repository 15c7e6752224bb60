"""Selects the sweep records of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.files import near_miss
from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.commands import declared_command
from switchhead_lab.tracking.sweep_dir import list_sweep_records
from switchhead_lab.tracking.sweep_dir import sweeps_dir as records_dir
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

_FIRST_SWEEP = "matched-params"  # to run if nothing else is known


@dataclass(frozen=True)
class Selection:
    """A sweep record and notes on its selection.

    Attributes:
        record: The record.
        notes: Sentences for the caption.
    """

    record: SweepRecord
    notes: tuple[str, ...]


def recorded_sweeps(runs_dir: Path, size: str = "") -> list[Selection]:
    """Return every recorded sweep that has runs, the most recently changed first.

    Args:
        runs_dir: Folder of all runs.
        size: Only sweeps of this size; empty for all.
    """
    records = [record for record in list_sweep_records(runs_dir) if record.members]
    selections, seen = [], set[tuple[str, str]]()
    for record in records:
        key = (record.sweep.name, record.sweep.size)
        others = [one for one in records if (one.sweep.name, one.sweep.size) == key]
        # As if it were named: only the latest of several declarations has a note.
        notes = () if key in seen else _notes(others)
        seen.add(key)
        if not size or record.sweep.size == size:
            selections.append(Selection(record, notes))
    return selections


def select_all(runs_dir: Path, size: str = "", sweeps_dir: Path | None = None) -> list[Selection]:
    """Return every recorded sweep that has runs.

    Args:
        runs_dir: Folder of all runs.
        size: Only sweeps of this size; empty for all.
        sweeps_dir: Folder of sweep files, for commands in errors.

    Raises:
        RecordError: If there is none.
    """
    found = recorded_sweeps(runs_dir, size)
    if found:
        return found
    sizes = sorted({one.record.sweep.size for one in recorded_sweeps(runs_dir)})
    if not sizes:
        raise _nothing_recorded(runs_dir, _remedy(sweeps_dir, _FIRST_SWEEP))
    raise RecordError(
        f'no sweep was run at size "{size}"{near_miss(size, sizes)}; '
        f"recorded sizes: {', '.join(sizes)}"
    )


def _nothing_recorded(runs_dir: Path, remedy: str, sweep: str = "") -> RecordError:
    folder = records_dir(runs_dir)
    what = f'no record of sweep "{sweep}": ' if sweep else ""
    return RecordError(
        f"{what}no sweep has been run ({folder} holds no record with runs); {remedy}"
    )


def _remedy(sweeps_dir: Path | None, sweep: str, size: str = "") -> str:
    """Return how to run a sweep that has no record."""
    command = declared_command(sweeps_dir, sweep, size)
    return f"run `{command}` first" if command else "`lab sweep list` shows what can be run"


def select_record(
    runs_dir: Path, sweep: str, size: str = "", sweeps_dir: Path | None = None
) -> Selection:
    """Return the most recently changed record of a sweep.

    Args:
        runs_dir: Folder of all runs.
        sweep: Name or id of the sweep.
        size: Name of the size; empty for the most recently changed one.
        sweeps_dir: Folder of sweep files, for commands in errors.

    Raises:
        RecordError: If there is no such record.
    """
    records = list(list_sweep_records(runs_dir))
    if not records:
        raise _nothing_recorded(runs_dir, _remedy(sweeps_dir, sweep, size), sweep)
    names = list(dict.fromkeys(record.sweep.name for record in records))
    by_id = [record for record in records if sweep_id(record.sweep) == sweep]
    of_sweep = by_id or [record for record in records if record.sweep.name == sweep]
    if not of_sweep:
        raise RecordError(
            f'no record of sweep "{sweep}"{near_miss(sweep, names)}; recorded: {", ".join(names)}; '
            f"{_remedy(sweeps_dir, sweep, size)}"
        )
    found = [record for record in of_sweep if not size or record.sweep.size == size]
    if not found:
        name = of_sweep[0].sweep.name
        sizes = list(
            dict.fromkeys(record.sweep.size for record in records if record.sweep.name == name)
        )
        raise RecordError(
            f'no record of sweep "{name}" at size "{size}"{near_miss(size, sizes)}; '
            f"recorded sizes: {', '.join(sizes)}; {_remedy(sweeps_dir, name, size)}"
        )
    return Selection(found[0], () if by_id else _notes(found))


def ladder_of(selection: Selection, name: str, size: str) -> tuple[str, ...]:
    """Return the sizes that a named sweep compares; empty if a size or an id was named."""
    sweep = selection.record.sweep
    return () if size or sweep_id(sweep) == name else tuple(sweep.ladder)


def select_rungs(runs_dir: Path, sweep: str, ladder: Sequence[str]) -> list[Selection]:
    """Return the latest record of each size of a ladder that has one, smallest first."""
    recorded = {r.sweep.size for r in list_sweep_records(runs_dir) if r.sweep.name == sweep}
    return [select_record(runs_dir, sweep, size) for size in ladder if size in recorded]


def _notes(found: list[SweepRecord]) -> tuple[str, ...]:
    """Return a note if other declarations of the same name and size were run."""
    chosen = found[0].sweep
    others = [
        sweep_id(record.sweep)
        for record in found[1:]
        if (record.sweep.name, record.sweep.size) == (chosen.name, chosen.size)
    ]
    if not others:
        return ()
    return (
        f"Note: several declarations were run under this name; this is the latest, "
        f"{sweep_id(chosen)}. Others, for `lab report ID`: {', '.join(sorted(others))}.",
    )
