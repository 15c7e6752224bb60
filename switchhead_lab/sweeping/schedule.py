"""The order of a sweep's runs: declared models, then searches, then what starts from their weights.

Every worker follows the same plan and takes the first run that nobody else trains.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from switchhead_lab.config.search import Point, PointKey, Study, describe_point, grid_of, key_of
from switchhead_lab.config.sources import depths_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.sweeping.jobs import Candidate, Job, Next, Waiting
from switchhead_lab.sweeping.offers import Offers
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    candidate_variant,
    candidate_variants,
)
from switchhead_lab.sweeping.starts import SourceNotTrainedError
from switchhead_lab.sweeping.study import Proposal, SearchStudy, open_study
from switchhead_lab.tracking.sweep_record import Role, SweepMember

# A search gives up after this many infeasible combinations in a row.
_MOST_EXAMINED = 1000


class Schedule:
    """Chooses a worker's next run; call its methods under the sweep's lock.

    Args:
        workspace: Workspace of runs and studies.
        sweep: The sweep.
        variants: Its baseline and declared models, matched.
        offers: Offers its runs.

    Raises:
        RecordError: If a study's storage cannot be opened.
    """

    def __init__(
        self, workspace: Workspace, sweep: Sweep, variants: Sequence[Variant], offers: Offers
    ) -> None:
        def opened(config: Study) -> SearchStudy:
            storage, record = workspace.study_storage, offers.keeper.record
            generation = record.studies[config.name].generation
            return open_study(storage, sweep, config, workspace.runs_dir, generation)

        # Fails before hours of training if a storage cannot be opened.
        tuning = {config.name: (config, opened(config)) for config in sweep.tuning}
        searches = [(config, opened(config)) for config in sweep.studies]
        depths = depths_of(sweep.entries)
        self._parts: list[_DeclaredModels | _Search] = []
        # Models that start from another model's weights come after it.
        for depth in range(max(depths.values()) + 1):
            models = [variant for variant in variants if depths[variant.name] == depth]
            untuned = [variant for variant in models if variant.name not in tuning]
            self._parts.append(_DeclaredModels(offers, untuned))
            for variant in models:
                if variant.name in tuning:
                    self._parts.append(_Search(offers, *tuning[variant.name], variant.role))
            for config, study in searches:
                if depths[config.name] == depth:
                    self._parts.append(_Search(offers, config, study, "best"))

    def next(self) -> Next:
        """Return the first run that may be trained now, else why to wait, if at all."""
        return _first(part.next() for part in self._parts)


class _DeclaredModels:
    """Declared models, each with all of its seeds."""

    def __init__(self, offers: Offers, variants: Sequence[Variant]) -> None:
        self._offers, self._variants = offers, variants

    def next(self) -> Next:
        return _first(
            self._offers.offer(variant, seed)
            for variant in self._variants
            for seed in variant.seeds
        )


class _Search:
    """The candidates of a study, then the best one with every seed."""

    def __init__(self, offers: Offers, config: Study, study: SearchStudy, role: Role) -> None:
        self._offers, self._config, self._study = offers, config, study
        self._role: Role = role

    def next(self) -> Next:
        try:
            for seed in self._config.seeds:
                self._offers.start(self._config.name, seed)
        except SourceNotTrainedError as error:
            return self._offers.without_source(self._config.name, error)
        self._note_n_feasible()
        in_progress = {
            member.trial_number
            for member in self._candidates()
            if member.trial_number is not None and self._offers.is_in_progress(member)
        }
        proposal = self._study.propose(self._untried, in_progress)
        while proposal is not None:
            n_others = len(in_progress - {proposal.number})
            offer = self._offer(proposal, 1 + proposal.n_tried + n_others)
            if offer is not None:
                return offer
            proposal = self._study.propose(self._untried, in_progress)
        return Waiting() if in_progress else self._next_of_best()

    def _candidates(self) -> list[SweepMember]:
        return [
            member
            for member in self._offers.keeper.record.members
            if (member.role, member.model) == ("candidate", self._config.name)
        ]

    def _offer(self, proposal: Proposal, number: int) -> Job | Waiting | None:
        """Return the run of a candidate by its number; None if its result is known without one."""
        study, keeper = self._study, self._offers.keeper
        fitting = self._offers.starts.fitting
        variant = fitting(candidate_variant(keeper.record.sweep, self._config, proposal.point))
        if isinstance(variant, Infeasible):
            keeper.note_infeasible(proposal, variant)
            study.reject_infeasible(proposal, variant.reason)
            return None
        if proposal.known is not None:
            study.repeat(proposal)
            return None
        candidate = Candidate(self._config, study, proposal, number)
        offer = self._offers.offer(variant, self._config.seeds[0], candidate)
        if offer is None:  # failed for good when its last worker vanished
            keys = [m for m in self._candidates() if m.trial_number == proposal.number]
            study.fail(proposal, keys[-1].reason if keys else "")
        return offer

    def _note_n_feasible(self) -> None:
        keeper = self._offers.keeper
        is_counted = keeper.record.studies[self._config.name].n_feasible is not None
        if grid_of(self._config) is None or is_counted:
            return
        candidates = candidate_variants(keeper.record.sweep, self._config)
        fitting = map(self._offers.starts.fitting, candidates)
        number = sum(isinstance(candidate, Variant) for candidate in fitting)
        keeper.note_n_feasible(self._config.name, number)

    def _untried(self, tried: set[PointKey]) -> Point | None:
        candidates = itertools.islice(
            candidate_variants(self._offers.keeper.record.sweep, self._config),
            len(tried) + _MOST_EXAMINED,
        )
        others = (c for c in candidates if key_of(c.point) not in tried)
        fitting = map(self._offers.starts.fitting, others)
        return next((c.point for c in fitting if isinstance(c, Variant)), None)

    def _next_of_best(self) -> Next:
        """Return a run of the best candidate, which gets every seed, like declared models."""
        config, offers = self._config, self._offers
        point = self._study.best_point()
        if point is None:
            offers.say_once(f"no candidate of {config.name} finished; see `lab runs list`")
            return None
        best = candidate_variant(offers.keeper.record.sweep, config, point)
        assert isinstance(best, Variant), "a trained candidate has a model"
        best = replace(best, role=self._role, seeds=tuple(config.seeds))
        seeds = ", ".join(map(str, config.seeds))
        offers.say_once(f"best candidate of {config.name}: {describe_point(point)}; seeds {seeds}")
        hashes = {offers.run_hash(best, seed) for seed in best.seeds}

        def is_kept(member: SweepMember) -> bool:
            is_of_this = (member.role, member.model) == (self._role, config.name)
            return not is_of_this or member.run_hash in hashes

        offers.keeper.keep(is_kept)
        return _first(offers.offer(best, seed) for seed in best.seeds)


def _first(offers: Iterable[Next]) -> Next:
    """Return the first job; without one, the most telling reason to wait, if any."""
    waiting: Waiting | None = None
    for offer in offers:
        if isinstance(offer, Job):
            return offer
        if offer is not None and (waiting is None or not waiting.reason):
            waiting = offer
    return waiting
