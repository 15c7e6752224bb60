"""What all tasks that are made rather than read have in common."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.task_documents import (
    TaskDocument,
    TaskDocuments,
    hash_task_documents,
)

Item = TypeVar("Item")
Draw = Callable[[], float]
"""Uniform random numbers in [0, 1)."""


def draw_of(name: str, version: str) -> Draw:
    """Return the random numbers of a task, which depend on its name and version alone."""
    # Of Random's methods, only random() is documented to keep its sequence across Python versions.
    return Random(f"{name}:{version}").random


def pick(draw: Draw, items: Sequence[Item]) -> Item:
    """Return one item, each with the same probability."""
    return items[int(draw() * len(items))]


def shuffled(draw: Draw, items: Sequence[Item]) -> list[Item]:
    """Return the items in random order."""
    ranked = sorted((draw(), index) for index in range(len(items)))
    return [items[index] for _, index in ranked]


def spread(items: Sequence[Item], n_most: int) -> list[Item]:
    """Return at most some number of items, evenly spaced and in their order."""
    n_kept = min(len(items), n_most)
    return [items[index * len(items) // n_kept] for index in range(n_kept)]


def made_task(
    name: str, documents: Sequence[TaskDocument], source: str, version: str
) -> TaskDocuments:
    """Return a task whose documents are made, identified by the SHA-256 of the documents."""
    digest = hash_task_documents(documents)
    return TaskDocuments(name, tuple(documents), digest, source, version)


def require_documents(
    name: str, documents: Sequence[TaskDocument], source: str, sought: str
) -> None:
    """Check that there are documents.

    Raises:
        DataError: If there are none.
    """
    if not documents:
        raise DataError(
            f"{name}: {source} has no {sought}; expected English prose of at least a few hundred "
            "sentences; choose another corpus"
        )
