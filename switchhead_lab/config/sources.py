"""Models of a sweep that start from trained weights: in which order they can be run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEY = "initial_weights"


@dataclass(frozen=True)
class Entry:
    """What a sweep trains under one name: a model or the best of a study.

    Attributes:
        seeds: Seeds of its runs.
        source: Whose weights it starts from: the name of another entry, or of a run; None if its
            weights are initialised from the seed.
    """

    seeds: Sequence[int]
    source: str | None


def depths_of(entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return, for each entry, how many other entries must be trained before it, one after another.

    Args:
        entries: Entries by name. A source that is no entry is a run outside the sweep.

    Raises:
        ValueError: If entries start from each other in a circle, or one has a seed that its source
            lacks while that has several.
    """
    for name, entry in entries.items():
        if entry.source is not None and entry.source in entries:
            _require_seeds(name, entry, entries[entry.source])
    return {name: len(_chain(name, entries)) for name in entries}


def source_seed(seed: int, seeds_of_source: Sequence[int]) -> int:
    """Return the seed of the source's run that a run starts from: its own, or the only one."""
    return seeds_of_source[0] if len(seeds_of_source) == 1 else seed


def _chain(name: str, entries: Mapping[str, Entry]) -> list[str]:
    """Return the entries that an entry starts from, directly or through others, nearest first."""
    chain: list[str] = []
    source = entries[name].source
    while source is not None and source in entries:
        if source == name or source in chain:
            circle = " from ".join([name, *chain, source])
            raise ValueError(f"{KEY}: {circle} is a circle; let one of them start from its seed")
        chain.append(source)
        source = entries[source].source
    return chain


def _require_seeds(name: str, entry: Entry, source: Entry) -> None:
    missing = [s for s in entry.seeds if source_seed(s, source.seeds) not in source.seeds]
    if missing:
        raise ValueError(
            f'model "{name}" has seed {missing[0]}, but {entry.source}, whose weights it starts '
            f"from, has seeds {', '.join(map(str, source.seeds))}; give that the seed too, or one "
            "seed only"
        )
