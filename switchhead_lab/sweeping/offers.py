"""Which runs of a sweep may be trained now, by its record and its live workers."""

import contextlib
from collections.abc import Iterable

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import InitialWeights, RunConfig
from switchhead_lab.config.search import key_of
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.jobs import MOST_VANISHED, Candidate, Job, Next, Say, Waiting
from switchhead_lab.sweeping.plan import Variant, config_of
from switchhead_lab.sweeping.record_keeper import RecordKeeper
from switchhead_lab.sweeping.starts import SourceNotTrainedError, Starts
from switchhead_lab.tracking.liveness import busy_error, is_owned
from switchhead_lab.tracking.record import RunLabels, RunState, run_name
from switchhead_lab.tracking.sweep_record import SweepMember, sweep_id

_DONE: tuple[RunState, ...] = ("finished", "pruned")


class Offers:
    """Offers runs of a sweep to one worker; call its methods under the sweep's lock.

    Args:
        workspace: Workspace of the runs.
        keeper: Keeps the sweep's record.
        starts: The checkpoints that its runs start from.
        say: Called with one line per event.
    """

    def __init__(
        self, workspace: Workspace, keeper: RecordKeeper, starts: Starts, say: Say
    ) -> None:
        self.runs_dir, self.keeper, self.starts = workspace.runs_dir, keeper, starts
        self._say = say
        # A worker ends when the declaration changes.
        self._sweep_id = sweep_id(keeper.record.sweep)
        self._alive: set[str] = set()
        self._said: set[str] = set()
        self._known: dict[tuple[object, ...], tuple[RunConfig, SweepMember]] = {}

    def plan(self, variants: Iterable[Variant]) -> None:
        """Plan the runs of models, before the sweep's lock is held and others wait."""
        for variant, seed in ((one, seed) for one in variants for seed in one.seeds):
            # Runs whose source is not trained yet, or unusable, are planned when they are offered.
            with contextlib.suppress(RecordError):
                self._planned(variant, seed)

    def offer(self, variant: Variant, seed: int, candidate: Candidate | None = None) -> Next:
        """Return a run as a job if it is to be trained and nobody trains it."""
        try:
            config, member = self._planned(variant, seed)
        except SourceNotTrainedError as error:
            return self.without_source(f"{variant.name}, seed {seed}", error)
        known = self.keeper.find(member.key)
        if known is not None and known.state == "running":
            if self.is_in_progress(known):
                return Waiting()
            known = self._requeue(known)
        # A trial of a candidate whose run has a result is open if its worker was killed in between.
        if known is not None and known.state in ("failed", *(() if candidate else _DONE)):
            return None
        if is_owned(self.runs_dir, member.run_hash):
            reason = f"{member.run_name}: waiting: {busy_error(self.runs_dir, member.run_hash)}"
            return Waiting(reason)
        update = {
            "trial_number": None if candidate is None else candidate.proposal.number,
            "n_vanished": 0 if known is None else known.n_vanished,
        }
        return Job(variant, config, member.model_copy(update=update), candidate)

    def without_source(self, what: str, error: SourceNotTrainedError) -> Waiting | None:
        """Wait for the run whose weights a model starts from, while any run is in progress.

        Otherwise its source has failed; reports show the gap.
        """
        if any(map(self.is_in_progress, self.keeper.record.members)):
            return Waiting()
        self.say_once(f"{what}: not trained: {error}")
        return None

    def look_at_workers(self) -> set[str]:
        """Return the ids of the live workers, which all offers of this step are based on."""
        self._alive = self.keeper.directory.workers.alive_ids()
        return self._alive

    @property
    def n_alive(self) -> int:
        """Workers that were alive at the last look."""
        return len(self._alive)

    def is_in_progress(self, member: SweepMember) -> bool:
        """Return whether a live worker trains a member."""
        return member.state == "running" and member.worker in self._alive

    def say_once(self, text: str) -> None:
        """Print a line unless it was printed before."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def run_hash(self, variant: Variant, seed: int) -> str:
        """Return the identity of a run.

        Raises:
            SourceNotTrainedError: If its source is an untrained model of the sweep.
        """
        return self._planned(variant, seed)[1].run_hash

    def start(self, name: str, seed: int) -> InitialWeights | None:
        """Return the checkpoint that a run starts from."""
        return self.starts.find(name, seed, self.keeper.record.members)

    def labels(self, variant: Variant) -> RunLabels:
        """Return the names for a run's directory."""
        size = self.keeper.record.sweep.size
        return RunLabels(size=size, variant=variant.name, sweep=self._sweep_id)

    def _planned(self, variant: Variant, seed: int) -> tuple[RunConfig, SweepMember]:
        """Return the configuration of a run, with its initial checkpoint, and its new member.

        They are computed once: a large sweep asks for all of its runs at every step.
        """
        start = self.start(variant.name, seed)
        where = start.model_dump_json() if start is not None else ""
        key = (variant.role, variant.name, key_of(variant.point), seed, where)
        if key not in self._known:
            config = config_of(self.keeper.record.sweep, variant, seed, start)
            run_hash = identity(config)
            member = SweepMember(
                model=variant.name,
                role=variant.role,
                seed=seed,
                run_name=run_name(config, self.labels(variant), run_hash),
                run_hash=run_hash,
                state="running",
                point=variant.point,
            )
            self._known[key] = config, member
        return self._known[key]

    def _requeue(self, member: SweepMember) -> SweepMember:
        """Note that the worker of a run has vanished; after several, the run has failed."""
        number = member.n_vanished + 1
        update: dict[str, object] = {"state": "interrupted", "worker": "", "n_vanished": number}
        if number >= MOST_VANISHED:
            reason = f"{number} workers vanished while training it"
            update |= {"state": "failed", "reason": reason, "cause": "worker vanished"}
        self._say(f"{member.run_name}: worker {member.worker or 'unknown'} vanished")
        return self.keeper.note(member.model_copy(update=update))
