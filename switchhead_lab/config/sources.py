"""Training order of sweep entries that start from each other's weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEY = "initial_weights"


@dataclass(frozen=True)
class Entry:
    """What a sweep trains under one name: a model, or the best candidate of a study.

    Attributes:
        seeds: Seeds of its runs.
        source: Name of the entry or run whose weights it starts from; None if its weights are
            initialised from the seed.
    """

    seeds: Sequence[int]
    source: str | None


def depths_of(entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return for each entry the length of the chain of entries to train before it.

    Args:
        entries: Entries by name. A source that is not an entry is a run outside the sweep.

    Raises:
        ValueError: If entries start from each other in a cycle, or one has a seed that its source,
            which has several, lacks.
    """
    for name, entry in entries.items():
        if entry.source is not None and entry.source in entries:
            _require_seeds(name, entry, entries[entry.source])
    return {name: len(_chain(name, entries)) for name in entries}


def source_seed(seed: int, seeds_of_source: Sequence[int]) -> int:
    """Return the seed of the source run to start from: the same one, or the source's only one."""
    return seeds_of_source[0] if len(seeds_of_source) == 1 else seed


def _chain(name: str, entries: Mapping[str, Entry]) -> list[str]:
    """Return the entries that an entry starts from, directly or through others, nearest first."""
    chain: list[str] = []
    source = entries[name].source
    while source is not None and source in entries:
        if source == name or source in chain:
            cycle = " from ".join([name, *chain, source])
            raise ValueError(f"{KEY}: {cycle} is a cycle; remove {KEY} from one of them")
        chain.append(source)
        source = entries[source].source
    return chain


def _require_seeds(name: str, entry: Entry, source: Entry) -> None:
    missing = [s for s in entry.seeds if source_seed(s, source.seeds) not in source.seeds]
    if missing:
        raise ValueError(
            f'model "{name}" has seed {missing[0]}, but its source {entry.source} '
            f"has seeds {', '.join(map(str, source.seeds))}; add the seed there, or give it "
            "one seed only"
        )
