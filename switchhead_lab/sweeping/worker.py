"""One worker of a sweep: trains its runs one by one, beside other workers, until none is left."""

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from switchhead_lab.config.search import describe_point, objectives_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import (
    CodeChangedError,
    DatabaseDownError,
    DriftError,
    FailureCause,
    LabError,
    RecordError,
    RunBusyError,
    TrainingError,
)
from switchhead_lab.sweeping.heartbeat import Heartbeat, TakenOver
from switchhead_lab.sweeping.jobs import Job, Next, Say, Waiting
from switchhead_lab.sweeping.offers import Offers
from switchhead_lab.sweeping.other_hosts import Fetcher
from switchhead_lab.sweeping.schedule import Schedule
from switchhead_lab.sweeping.starts import SourceElsewhereError
from switchhead_lab.tracking.artifact_upload import Uploads
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR, RESULT_FILE
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.mlflow_index import Index
from switchhead_lab.tracking.record import RunRecord, RunState
from switchhead_lab.tracking.sweep_record import SweepMember, read_objective
from switchhead_lab.training.change_policy import ChangePolicy
from switchhead_lab.training.hooks import Hook
from switchhead_lab.training.run import execute_run

# Runs that failed for these causes are retried twice from their checkpoint.
_RETRIED: tuple[FailureCause, ...] = ("out of memory",)
_N_ATTEMPTS = 3
_POLL_SECONDS = 1.0
_LOOKS_PER_SECOND = 10.0
# A database that restarts is waited for at each step, so that a run in progress is not lost.
_RESTART_SECONDS = 120.0
# A run counts as finished before its upload, which may be large.
_UPLOAD_SECONDS = 1800.0
ResultT = TypeVar("ResultT")
ExecuteRun = Callable[..., RunRecord]


class SweepWorker:
    """Trains runs of a sweep and records their outcomes.

    Args:
        workspace: Workspace of data, runs and studies.
        schedule: Chooses the next run.
        offers: The sweep's record and sources.
        heartbeat: This worker's heartbeats.
        index: Index that mirrors the runs.
        parent_id: The sweep's run in the index.
        say: Called with one line per event.
        policy: What to do with earlier runs whose code or conditions have changed.
        fetcher: Fetches weights that other hosts have trained.
        trainer: Trains a run, as `execute_run` does; by default that.
    """

    def __init__(
        self,
        workspace: Workspace,
        schedule: Schedule,
        offers: Offers,
        heartbeat: Heartbeat,
        *,
        index: Index,
        parent_id: str | None,
        say: Say,
        policy: ChangePolicy,
        fetcher: Fetcher,
        trainer: ExecuteRun | None = None,
    ) -> None:
        self._workspace, self._schedule, self._offers = workspace, schedule, offers
        self._trainer = trainer or execute_run
        self._heartbeat, self._keeper = heartbeat, offers.keeper
        self._index, self._parent_id, self._say, self._policy = index, parent_id, say, policy
        self._fetcher, self._fetched, self._awaited = fetcher, set[str](), dict[str, float]()
        self._uploads = Uploads(workspace, say)

    def run(self) -> None:
        """Train until nothing is left; call it with signals deferred."""
        sweep = self._keeper.record.sweep
        self._catch_up()
        while True:
            try:
                job, hooks = outlasting_restarts(lambda: self._take(sweep))
            except SourceElsewhereError as error:
                self._fetch(error)
                continue
            if job is None:
                return
            if isinstance(job, Waiting):
                self._wait(job)
                continue
            try:
                self._train(job, hooks)
            except TakenOver as error:
                raise RecordError(
                    f"{error}, so {job.member.run_name} may have been taken over by another one; "
                    "start the worker again"
                ) from None

    def _catch_up(self) -> None:
        """Upload the runs whose earlier upload failed or was interrupted."""
        with interruption.allowed():
            self._uploads.catch_up()

    def _fetch(self, error: SourceElsewhereError) -> None:
        """Fetch the run whose weights a model starts from, or wait for its upload."""
        member = error.member
        directory = self._keeper.directory.run_dir(member)
        if member.run_name in self._fetched:
            raise error
        with interruption.allowed():
            self._fetcher.bring_members([member], weights=True)
            if any((directory / CHECKPOINTS_DIR).glob("step-*")):
                self._fetched.add(member.run_name)
                return
            now = time.monotonic()
            if now >= self._awaited.setdefault(member.run_name, now + _UPLOAD_SECONDS):
                raise RecordError(
                    f"{member.run_name}: finished on another host, but the object store lacks it; "
                    "`lab doctor --fix` there uploads it, then start the worker again"
                )
            self._offers.say_once(f"{member.run_name}: waiting for its upload by another host")
            time.sleep(_POLL_SECONDS)

    def _take(self, sweep: Sweep) -> tuple[Next, Sequence[Hook]]:
        """Take the next run; return it with the hooks of its training."""
        with self._keeper.locked():
            if self._keeper.record.sweep != sweep:
                raise RecordError(
                    f"sweep {sweep.name}: its declaration was changed while this worker ran; "
                    "start the worker again to go on with the new one"
                )
            with interruption.allowed():
                if self._heartbeat.worker_id not in self._offers.look_at_workers():
                    raise RecordError(
                        f"worker {self._heartbeat.worker_id} was declared dead because its "
                        "heartbeats stopped; start the worker again"
                    )
                job = self._schedule.next()
            return job, self._claim(job) if isinstance(job, Job) else ()

    def _claim(self, job: Job) -> Sequence[Hook]:
        """Note that this worker trains a run; return the hooks of its training."""
        update = {"worker": self._heartbeat.worker_id}
        self._keeper.note_model(job.variant)
        self._keeper.note(job.member.model_copy(update=update))
        hooks: list[Hook] = [self._heartbeat]
        if (candidate := job.candidate) is not None:
            self._say(
                f"candidate {candidate.number}/{candidate.config.n_trials} of "
                f"{candidate.config.name}: {describe_point(candidate.proposal.point)}"
            )
            hooks.append(candidate.study.begin(candidate.proposal, job.member.run_name))
        return hooks

    def _wait(self, waiting: Waiting) -> None:
        """Wait a moment: for other workers' runs, or for a process that trains a run of ours."""
        if waiting.reason:
            self._offers.say_once(waiting.reason)
        with interruption.allowed():
            time.sleep(pause_seconds(self._offers.n_alive))

    def _train(self, job: Job, hooks: Sequence[Hook]) -> None:
        """Train a run and record its outcome."""
        for attempt in range(_N_ATTEMPTS):
            ended, run = self._attempt(job, hooks)
            if run is not None or ended.cause not in _RETRIED or attempt == _N_ATTEMPTS - 1:
                break
            self._say(f"{job.member.run_name}: retrying after {ended.cause}")
        if outlasting_restarts(lambda: self._commit(job, ended, run)):
            with interruption.allowed():
                self._uploads.upload(self._keeper.directory.run_dir(ended))

    def _attempt(self, job: Job, hooks: Sequence[Hook]) -> tuple[SweepMember, RunRecord | None]:
        """Train a run once.

        Errors of this run alone make it a failed member; all others stop the worker. Call with
        signals deferred: they are allowed only where they end the attempt.
        """
        member = job.member
        try:
            with interruption.allowed():
                run = self._trainer(
                    self._workspace,
                    job.config,
                    self._offers.labels(job.variant),
                    index=self._index,
                    parent_id=self._parent_id,
                    hooks=hooks,
                    policy=self._policy,
                )
        except RunBusyError as error:  # since the moment in which it was offered
            return self._ended(member, "interrupted", str(error)), None
        except (TrainingError, RecordError) as error:
            if isinstance(error, DriftError | CodeChangedError):
                self._note_end(member, "interrupted", str(error))
                raise
            cause = error.cause if isinstance(error, TrainingError) else "other"
            self._say(f"{member.run_name}: failed: {error}")
            return self._ended(member, "failed", str(error), cause), None
        except (KeyboardInterrupt, LabError) as error:
            # Errors of storage, data, device or workspace would fail every other run too.
            self._note_end(member, "interrupted", str(error))
            raise
        except Exception as error:
            self._note_end(member, "failed", f"{type(error).__name__}: {error}")
            raise
        # If an equal configuration was trained under another name, that run is the member.
        ended = self._ended(member, observed_state(run), run.status.reason)
        return ended.model_copy(update={"run_name": run.name}), run

    def _commit(self, job: Job, ended: SweepMember, run: RunRecord | None) -> bool:
        """Record the outcome of a run; return False if another worker has taken it over."""
        with self._keeper.locked():
            if not self._is_ours(ended):
                self._say(f"{ended.run_name}: taken over by another worker")
                return False
            self._keeper.note(ended)
            candidate = job.candidate
            if candidate is None or ended.state == "interrupted":
                return True
            if run is None:
                candidate.study.fail(candidate.proposal, ended.reason)
            elif run.result is None:
                candidate.study.prune(candidate.proposal)
            else:
                record = self._keeper.record
                costs = record.costs_of(job.variant.model)
                assert costs is not None, "costs are recorded before training"
                objectives = objectives_of(candidate.config, record.sweep.objective)
                values = [read_objective(one, run.result, costs) for one in objectives]
                candidate.study.finish(candidate.proposal, values)
            return True

    def _note_end(self, member: SweepMember, state: RunState, reason: str) -> None:
        """Record how a run ended; a run with a result is finished."""
        with self._keeper.locked():
            if not self._is_ours(member):
                return
            if (self._keeper.directory.run_dir(member) / RESULT_FILE).is_file():
                state, reason = "finished", ""
            self._keeper.note(self._ended(member, state, reason))

    def _is_ours(self, member: SweepMember) -> bool:
        known = self._keeper.find(member.key)
        return known is not None and known.worker == self._heartbeat.worker_id

    @staticmethod
    def _ended(
        member: SweepMember, state: RunState, reason: str, cause: FailureCause = ""
    ) -> SweepMember:
        update = {"state": state, "reason": reason, "cause": cause, "worker": "", "n_vanished": 0}
        return member.model_copy(update=update)


def pause_seconds(n_workers: int) -> float:
    """Return how long a worker that found nothing to train waits before it looks again.

    Each look takes the sweep's lock, so all of them together look some ten times a second at most.
    """
    longest = max(_POLL_SECONDS, n_workers / _LOOKS_PER_SECOND)
    return random.uniform(longest / 2, longest)


def outlasting_restarts(step: Callable[[], ResultT]) -> ResultT:
    """Repeat a step on the record until the database answers.

    Raises:
        DatabaseDownError: If it does not answer for `_RESTART_SECONDS`.
    """
    deadline = time.monotonic() + _RESTART_SECONDS
    while True:
        try:
            return step()
        except DatabaseDownError:
            if time.monotonic() >= deadline:
                raise
        with interruption.allowed():
            time.sleep(_POLL_SECONDS)
