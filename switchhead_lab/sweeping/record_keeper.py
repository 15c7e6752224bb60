"""Keeps the record of a running sweep: every change is on disk before the next step."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from switchhead_lab.config.identity import identity
from switchhead_lab.config.search import Study, grid_of
from switchhead_lab.config.sources import depths_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    candidate_variants,
    config_of,
    resolved_model,
)
from switchhead_lab.sweeping.starts import SourceElsewhereError, Starts
from switchhead_lab.sweeping.study import Proposal
from switchhead_lab.sweeping.study_name import study_name
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import (
    InfeasibleCandidate,
    StudyRecord,
    SweepMember,
    SweepRecord,
)


class RecordKeeper:
    """Keeps a sweep's record on disk up to date.

    Several workers change the record, so each change is made to what is on disk, under the sweep's
    lock.

    Args:
        directory: The sweep's directory.
        record: The record as on disk, or a new one.
    """

    def __init__(self, directory: SweepDir, record: SweepRecord) -> None:
        self.directory, self.record = directory, record
        self._version = self.directory.version
        self._indexed: list[SweepMember] | None = None
        self._by_key: dict[tuple[str, str, str], SweepMember] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep's lock in the block, with `record` as on disk."""
        with self.directory.locked():
            if self._version != self.directory.version:
                self.record = self.directory.read()
                self._version = self.directory.version
            yield

    def replace(self, record: SweepRecord) -> None:
        """Write a record in place of the one on disk, under the lock in which it was made."""
        with self.directory.locked():
            self.record = record
            self.directory.write(record)
            self._version = self.directory.version

    def find(self, key: tuple[str, str, str]) -> SweepMember | None:
        """Return the member with a key; None if there is none."""
        members = self.record.members
        if self._indexed is not members:
            self._indexed, self._by_key = members, {member.key: member for member in members}
        return self._by_key.get(key)

    def note(self, member: SweepMember) -> SweepMember:
        """Add a member to the record, replacing an earlier entry."""
        with self.locked():
            members = list(self.record.members)
            same = (i for i, other in enumerate(members) if other.key == member.key)
            place = next(same, len(members))
            members[place : place + 1] = [member]
            self._update(members=members)
        return member

    def keep(self, is_kept: Callable[[SweepMember], bool]) -> None:
        """Drop members from the record; their runs stay."""
        with self.locked():
            members = [member for member in self.record.members if is_kept(member)]
            if len(members) < len(self.record.members):
                self._update(members=members)

    def note_infeasible(self, proposal: Proposal, infeasible: Infeasible) -> None:
        """Record that a candidate of a study is infeasible."""
        with self.locked():
            study = self.record.studies[infeasible.name]
            entry = InfeasibleCandidate(
                trial_number=proposal.number, point=infeasible.point, reason=infeasible.reason
            )
            others = [known for known in study.infeasible if known.point != infeasible.point]
            updated = study.model_copy(update={"infeasible": [*others, entry]})
            self._update(studies={**self.record.studies, infeasible.name: updated})

    def note_n_feasible(self, study: str, number: int) -> None:
        """Record the number of feasible combinations in a study's search space."""
        with self.locked():
            updated = self.record.studies[study].model_copy(update={"n_feasible": number})
            self._update(studies={**self.record.studies, study: updated})

    def note_model(self, variant: Variant) -> None:
        """Record an architecture with its costs, so that reports need no matching."""
        if self._has_model(variant):  # models are added only, so also in the record on disk
            return
        with self.locked():
            if not self._has_model(variant):
                resolved = resolved_model(self.record.sweep, variant)
                self._update(models=[*self.record.models, resolved])

    def _has_model(self, variant: Variant) -> bool:
        known = self.record.resolved(variant.model, variant.name)
        return known is not None and known.name == variant.name

    def _update(self, **changes: object) -> None:
        self.replace(self.record.model_copy(update={**changes, "updated_at": time.time()}))


def continued_record(
    sweep: Sweep, known: SweepRecord | None, variants: Sequence[Variant], starts: Starts
) -> SweepRecord:
    """Return the sweep's record under its current declaration.

    Members that are still declared are kept: declared models by configuration, candidates while
    their study is unchanged.

    Args:
        sweep: The sweep.
        known: Its record so far; None if never run.
        variants: Its baseline and declared models, matched.
        starts: The checkpoints that its runs start from.
    """
    now = time.time()
    known = known or SweepRecord(sweep=sweep, started_at=now, updated_at=now)
    studies = {study.name: _study_record(sweep, study, known) for study in sweep.all_studies}
    same = {name for name, study in studies.items() if study == known.studies.get(name)}
    wanted: set[tuple[str, str]] = set()
    unknown: set[str] = set()

    def belongs(member: SweepMember) -> bool:
        if member.model in studies:
            return member.model in same
        is_declared = member.role in ("baseline", "declared")
        is_wanted = member.model in unknown or (member.model, member.run_hash) in wanted
        return is_declared and is_wanted

    depths = depths_of(sweep.entries)
    for variant in sorted(variants, key=lambda variant: depths[variant.name]):
        try:
            hashes = _known_hashes(sweep, variant, starts, [*filter(belongs, known.members)])
        except SourceElsewhereError:  # this host will know them when it has fetched the source
            unknown.add(variant.name)
            continue
        wanted |= {(variant.name, run_hash) for run_hash in hashes}
    members = [*filter(belongs, known.members)]
    return known.model_copy(update={"sweep": sweep, "studies": studies, "members": members})


def joined_record(
    sweep: Sweep,
    known: SweepRecord | None,
    others: Collection[object],
    variants: Sequence[Variant],
    starts: Starts,
) -> SweepRecord:
    """Return the record for a worker that joins a sweep; arguments as of `continued_record`.

    If others are alive, one of them has continued it already, if under the same declaration. To do
    it again takes time for every run of the sweep, in which all of them wait.
    """
    if others and known is not None and known.sweep == sweep:
        return known
    return continued_record(sweep, known, variants, starts)


def _known_hashes(
    sweep: Sweep, variant: Variant, starts: Starts, members: Sequence[SweepMember]
) -> set[str]:
    """Return the identities of a model's runs whose sources are trained.

    Raises:
        SourceElsewhereError: If a source is on another host.
    """
    hashes = set()
    for seed in variant.seeds:
        try:
            start = starts.find(variant.name, seed, members)
        except SourceElsewhereError:
            raise
        except RecordError:  # reported when that run is trained
            continue
        hashes.add(identity(config_of(sweep, variant, seed, start)))
    return hashes


def _study_record(sweep: Sweep, study: Study, known: SweepRecord) -> StudyRecord:
    """Return the record of a study, the known one if the study is unchanged."""
    before = known.studies.get(study.name)
    generation = 1 if before is None else before.generation
    if before is not None and before.storage_name == study_name(sweep, study, generation):
        return before
    if before is not None:
        # A declaration changed back and forth must not continue a study whose code has changed.
        generation += 1
    n_feasible = None
    # With a source, candidates must also fit its weights, which may not be trained yet.
    if grid_of(study) is not None and sweep.entries[study.name].source is None:
        candidates = candidate_variants(sweep, study)
        n_feasible = sum(isinstance(candidate, Variant) for candidate in candidates)
    name = study_name(sweep, study, generation)
    return StudyRecord(storage_name=name, generation=generation, n_feasible=n_feasible)
