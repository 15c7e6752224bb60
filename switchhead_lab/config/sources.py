"""Models of a sweep that start from trained weights: in which order they can be run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEY = "initial_weights"


@dataclass(frozen=True)
class Part:
    """What a sweep trains under one name: a model or the best of a study.

    Attributes:
        seeds: Seeds of its runs.
        source: Whose weights it starts from: the name of another part, or of a run; None if its
            weights are initialised from the seed.
    """

    seeds: Sequence[int]
    source: str | None


def depths_of(parts: Mapping[str, Part]) -> dict[str, int]:
    """Return, for each part, how many other parts must be trained before it, one after another.

    Args:
        parts: Parts by name. A source that is no part is a run outside the sweep.

    Raises:
        ValueError: If parts start from each other in a circle, or a part has a seed that its source
            lacks while that has several.
    """
    for name, part in parts.items():
        if part.source is not None and part.source in parts:
            _require_seeds(name, part, parts[part.source])
    return {name: len(_chain(name, parts)) for name in parts}


def source_seed(seed: int, seeds_of_source: Sequence[int]) -> int:
    """Return the seed of the source's run that a run starts from: its own, or the only one."""
    return seeds_of_source[0] if len(seeds_of_source) == 1 else seed


def _chain(name: str, parts: Mapping[str, Part]) -> list[str]:
    """Return the parts that a part starts from, directly or through others, nearest first."""
    chain: list[str] = []
    source = parts[name].source
    while source is not None and source in parts:
        if source == name or source in chain:
            circle = " from ".join([name, *chain, source])
            raise ValueError(f"{KEY}: {circle} is a circle; let one of them start from its seed")
        chain.append(source)
        source = parts[source].source
    return chain


def _require_seeds(name: str, part: Part, source: Part) -> None:
    missing = [s for s in part.seeds if source_seed(s, source.seeds) not in source.seeds]
    if missing:
        raise ValueError(
            f'model "{name}" has seed {missing[0]}, but {part.source}, whose weights it starts '
            f"from, has seeds {', '.join(map(str, source.seeds))}; give that the seed too, or one "
            "seed only"
        )
