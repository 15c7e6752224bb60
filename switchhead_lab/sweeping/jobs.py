"""What a worker does next: one run of a sweep, a wait, or nothing more."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.search import Study
from switchhead_lab.sweeping.plan import Variant
from switchhead_lab.sweeping.study import Proposal, SearchStudy
from switchhead_lab.tracking.sweep_record import SweepMember

Say = Callable[[str], None]
MOST_VANISHED = 3
"""A run is failed once this many workers have vanished while training it."""


@dataclass(frozen=True)
class Candidate:
    """A candidate of a search.

    Attributes:
        config: The declared search.
        study: Its study.
        proposal: The candidate.
        number: Its number among those that are trained, from 1.
    """

    config: Study
    study: SearchStudy
    proposal: Proposal
    number: int


@dataclass(frozen=True)
class Job:
    """A run that may be trained now.

    Attributes:
        variant: Its model.
        config: Its configuration.
        member: Its entry in the sweep's record, to be completed by the worker.
        candidate: The candidate that it trains, if any.
    """

    variant: Variant
    config: RunConfig
    member: SweepMember
    candidate: Candidate | None = None


@dataclass(frozen=True)
class Waiting:
    """Nothing may be trained now, but perhaps later.

    Attributes:
        reason: Why, if not because other workers of the sweep are training.
    """

    reason: str = ""


Next = Job | Waiting | None
"""What comes next; None if nothing is left."""
