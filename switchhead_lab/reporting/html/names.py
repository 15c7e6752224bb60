"""Names of sweeps on the page: several declarations of one name and size say what differs."""

from collections.abc import Mapping, Sequence
from typing import Any

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.sweep_record import sweep_id

# What does not tell declarations apart for a reader: names, texts, and seeds that verdicts added.
_NOT_NAMED = {"name", "size", "summary", "paper", "claims"}
_CORPUS = "data.corpus"
_MOST_FIELDS = 3


def names_of_sweeps(sweeps: Sequence[Sweep]) -> dict[str, str]:
    """Return the name of each sweep by its id.

    Where several have the same name and size, the name is followed by the corpus, by a few fields
    that differ, or else by the id.
    """
    groups: dict[tuple[str, str], list[Sweep]] = {}
    for sweep in sweeps:
        groups.setdefault((sweep.name, sweep.size), []).append(sweep)
    names = {}
    for group in groups.values():
        for sweep, words in zip(group, _distinctions(group), strict=True):
            names[sweep_id(sweep)] = f"{sweep.name} ({words})" if words else sweep.name
    return names


def _distinctions(group: Sequence[Sweep]) -> list[str]:
    """Return what tells each of several declarations from the others; empty for a single one."""
    if len(group) == 1:
        return [""]
    dumps = [_values(sweep) for sweep in group]
    differing = [
        field
        for field in dict.fromkeys(name for dump in dumps for name in dump)
        if any(dump.get(field) != dumps[0].get(field) for dump in dumps)
    ]
    for fields in ([_CORPUS], differing):
        words = [_words(dump, fields) for dump in dumps]
        if len(fields) <= _MOST_FIELDS and len(set(words)) == len(group):
            return words
    return [sweep_id(sweep) for sweep in group]


def _words(dump: Mapping[str, Any], fields: Sequence[str]) -> str:
    values = ((field, dump.get(field)) for field in fields)
    return ", ".join(
        f"corpus {value}" if field == _CORPUS else f"{field}={'none' if value is None else value}"
        for field, value in values
    )


def _values(sweep: Sweep) -> dict[str, Any]:
    tree = sweep.model_dump(mode="json", exclude=_NOT_NAMED)
    return {path: value for path, value in flatten(tree) if not path.endswith("seeds")}
