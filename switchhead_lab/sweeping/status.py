"""How far a sweep is: its workers, runs in progress, failures and the best so far (no torch)."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import LabError
from switchhead_lab.sweeping.deciding import with_added_seeds
from switchhead_lab.sweeping.estimate import Speeds
from switchhead_lab.sweeping.part_costs import part_costs
from switchhead_lab.tracking.record import MetricPoint, RunRecord
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord
from switchhead_lab.tracking.workers import WorkerState


@dataclass(frozen=True)
class PartStatus:
    """Progress of a model or search.

    Attributes:
        name: Its name in the sweep.
        n_runs: Runs that it will have.
        n_done: Runs that finished or were pruned.
        n_failed: Runs that failed.
        best: Mean of the headline metric on validation over its finished runs; of the best
            candidate for a search that is not done; None without finished runs.
    """

    name: str
    n_runs: int
    n_done: int
    n_failed: int
    best: float | None


@dataclass(frozen=True)
class WorkerStatus:
    """A live worker and what it does.

    Attributes:
        state: The worker.
        run_name: The run that it trains; empty while it waits or prepares.
        step: Steps done.
        n_steps: Steps of the run.
        seconds_left: Estimated time to the run's last step; None before it is known.
    """

    state: WorkerState
    run_name: str = ""
    step: int = 0
    n_steps: int = 0
    seconds_left: float | None = None


@dataclass(frozen=True)
class SweepStatus:
    """Progress of a sweep.

    Attributes:
        sweep: The declaration, with the seeds added to decide its claims.
        record: Its record; None if it was never run.
        parts: Progress of each model and search.
        workers: The live workers.
        is_stopping: Whether the workers are asked to end.
        seconds_left: Estimated time to the end with the present workers, or with one; None if no
            run was measured on this machine.
    """

    sweep: Sweep
    record: SweepRecord | None
    parts: Sequence[PartStatus]
    workers: Sequence[WorkerStatus]
    is_stopping: bool
    seconds_left: float | None

    @property
    def members(self) -> Sequence[SweepMember]:
        """Its runs so far."""
        return () if self.record is None else self.record.members


def sweep_status(
    declared: Sweep, directory: SweepDir, runs: Sequence[RunRecord], speeds: Speeds
) -> SweepStatus:
    """Return the progress of a sweep.

    Args:
        declared: The declaration.
        directory: The sweep's directory.
        runs: All runs of the workspace.
        speeds: Basis of time estimates.

    Raises:
        RecordError: If the sweep's record is damaged.
        MatchError: If a declared model cannot be matched.
    """
    sweep = with_added_seeds(declared, directory)
    record = directory.read_known()
    costs = part_costs(sweep, runs, speeds)
    by_name = {run.name: run for run in runs}
    members = [] if record is None else record.members
    alive = directory.workers.alive()
    known = [cost.seconds_left for cost in costs if cost.seconds_left is not None]
    n_shared = max(1, len(alive))
    return SweepStatus(
        sweep=sweep,
        record=record,
        parts=[
            PartStatus(
                name=cost.name,
                n_runs=cost.n_runs,
                n_done=cost.n_done,
                n_failed=sum(m.model == cost.name and m.state == "failed" for m in members),
                best=_best(sweep, cost.name, members, by_name),
            )
            for cost in costs
        ],
        workers=[_worker_status(one, members, by_name) for one in alive],
        is_stopping=directory.workers.is_stop_requested,
        seconds_left=sum(known) / n_shared if known else None,
    )


def _best(
    sweep: Sweep, name: str, members: Sequence[SweepMember], runs: Mapping[str, RunRecord]
) -> float | None:
    """Return a model's mean headline metric, or that of the best candidate of an open search."""
    metric = sweep.objective.headline

    def values(*, of_candidates: bool) -> Iterator[float]:
        for member in members:
            run = runs.get(member.run_name)
            is_wanted = member.model == name and (member.role == "candidate") == of_candidates
            if is_wanted and run is not None and run.result is not None:
                value = run.result.value("validation", metric)
                if value is not None:
                    yield value

    if measured := list(values(of_candidates=False)):
        return statistics.fmean(measured)
    pick = min if metric.lower_is_better else max
    return pick(values(of_candidates=True), default=None)


def _worker_status(
    state: WorkerState, members: Sequence[SweepMember], runs: Mapping[str, RunRecord]
) -> WorkerStatus:
    own = [m for m in members if m.state == "running" and m.worker == state.record.worker_id]
    run = runs.get(own[0].run_name) if own else None
    if not own or run is None:
        return WorkerStatus(state, own[0].run_name if own else "")
    last = _last_point(run)
    n_steps = run.config.training.n_steps
    if last is None:
        return WorkerStatus(state, run.name, 0, n_steps)
    ms_per_step = last.metrics.get("train/ms_per_step")
    left = None if ms_per_step is None else (n_steps - last.step) * ms_per_step / 1e3
    return WorkerStatus(state, run.name, last.step, n_steps, left)


def _last_point(run: RunRecord) -> MetricPoint | None:
    """Return the last recorded point of a run in progress; None without one."""
    last = None
    try:
        for point in run.metrics():
            if "train/ms_per_step" in point.metrics:
                last = point
    except LabError:  # listings report damaged runs
        return None
    return last
