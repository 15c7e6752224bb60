"""Runs of a sweep that other hosts have trained, as its workers fetch them."""

from collections.abc import Iterable
from typing import Protocol

from switchhead_lab.tracking.sweep_record import SweepMember


class Fetcher(Protocol):
    """Fetches runs from the workspace's object store; `upkeep.fetching.RunFetcher` is one."""

    def bring(self, reference: str, *, weights: bool = False) -> None:
        """Fetch a run, by name or the start of its hash, unless it is on this host."""

    def bring_members(self, members: Iterable[SweepMember], *, weights: bool = False) -> None:
        """Fetch the ended ones of a sweep's runs that are not on this host."""


class NoFetcher:
    """Fetches nothing: all runs are on this host or on a shared disk."""

    def bring(self, _reference: str, *, weights: bool = False) -> None:
        """Do nothing."""

    def bring_members(self, _members: Iterable[SweepMember], *, weights: bool = False) -> None:
        """Do nothing."""
