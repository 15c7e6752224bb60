"""The Optuna study of a sweep: proposes candidates and records their results.

Each candidate is a function of the trials before it. An interrupted trial stays open with its
reports and is proposed again first. So a study that is stopped and continued, anywhere and any
number of times, proposes, prunes and chooses the same as an uninterrupted one.

With `n_parallel` candidates at a time, a candidate is a function of the results of those at least
`n_parallel` before it, and of the points of all before it. So it does not matter either which of
several workers trains a candidate, and which is faster.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from switchhead_lab.config.search import (
    Direction,
    Point,
    PointKey,
    Study,
    StudyObjective,
    grid_of,
    key_of,
    objectives_of,
)
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.pruning import PruningHook
from switchhead_lab.sweeping.study_name import study_name
from switchhead_lab.sweeping.study_storage import (
    connect_storage,
    on_storage,
    opening_storage,
    prepare_storage,
    retry_while_locked,
)
from switchhead_lab.tracking.search_space import distributions_of

_RUN_NAME, _INFEASIBLE, _REPEATS = "run_name", "infeasible", "repeats_trial"
_MAX_REJECTED_IN_A_ROW = 10


@dataclass(frozen=True)
class Proposal:
    """A candidate to train.

    Attributes:
        number: Number of the trial.
        trial_id: The storage's key of the trial.
        point: Values of the searched fields.
        n_tried: Number of distinct trained candidates, including pruned and failed ones.
        known: The earlier trial of the same candidate, if any.
    """

    number: int
    trial_id: int
    point: Point
    n_tried: int
    known: FrozenTrial | None


class SearchStudy:
    """A study on its storage; call its methods under the sweep's lock.

    Every method raises `StorageError` if the storage fails; no state is lost.

    Args:
        study: The study on its storage.
        config: Its declaration.
        objectives: What it optimises; the first one chooses the best.
    """

    def __init__(
        self, study: optuna.Study, config: Study, objectives: Sequence[StudyObjective]
    ) -> None:
        self._study, self._config, self._objectives = study, config, objectives

    @on_storage
    def propose(
        self,
        untried: Callable[[set[PointKey]], Point | None],
        in_progress: Collection[int] = (),
    ) -> Proposal | None:
        """Return an interrupted candidate, or the next one.

        Args:
            untried: Returns a feasible candidate outside the given set, None if all were tried;
                used when the sampler keeps proposing known or infeasible candidates.
            in_progress: Numbers of open trials that other workers train.

        Returns:
            The candidate; None if `n_trials` candidates were tried, none is left, or the next one
            depends on a trial in progress.
        """
        trials = self._trials()
        for trial in trials:
            if not trial.state.is_finished() and trial.number not in in_progress:
                return _proposal_of(trial, dict(trial.params), trials)
        proposed = _tried(trials) | {key_of(t.params) for t in trials if not t.state.is_finished()}
        left = untried(proposed)
        if len(proposed) >= self._config.n_trials or left is None:
            return None
        n_known = self._n_known(len(trials))
        if not all(trial.state.is_finished() for trial in trials[:n_known]):
            return None
        point, notes = self._next_point(_as_known(trials, n_known), left)
        # Atomic: a trial without parameters could not be continued.
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=point,
                distributions=distributions_of(self._config),
                system_attrs=notes,
            )
        )
        return _proposal_of(self._trials()[-1], point, trials)

    @on_storage
    def reject_infeasible(self, proposal: Proposal, reason: str) -> None:
        """Record that a candidate is infeasible; it does not count as tried."""
        trial = self._handle(proposal)
        trial.set_user_attr(_INFEASIBLE, reason)
        _set_budget(trial, 1.0)
        self._study.tell(proposal.number, state=TrialState.PRUNED)

    @on_storage
    def repeat(self, proposal: Proposal) -> None:
        """Record the known result of a candidate that was trained before."""
        known = proposal.known
        assert known is not None, "only candidates with a known result are repeated"
        trial = self._handle(proposal)
        trial.set_user_attr(_REPEATS, known.number)
        _set_budget(trial, 0.0)
        # A pruned trial's value is its last report; `tell` rejects values of pruned trials.
        values = known.values if known.state == TrialState.COMPLETE else None
        self._study.tell(proposal.number, values, state=known.state)

    @on_storage
    def begin(self, proposal: Proposal, run_name: str) -> PruningHook:
        """Record that a candidate is being trained; return the hook that may prune it."""
        trials = self._trials()
        stored = trials[proposal.number]
        trial = self._handle(proposal)
        trial.set_user_attr(_RUN_NAME, run_name)
        _set_budget(trial, 0.0)
        return PruningHook(
            trial,
            self._objectives[0],
            reported=stored.intermediate_values,
            earlier=trials[: self._n_known(proposal.number)],
            pruner=self._study.pruner if len(self._objectives) == 1 else None,
        )

    @on_storage
    def finish(self, proposal: Proposal, values: Sequence[float]) -> None:
        """Record the objectives of a finished candidate."""
        self._study.tell(proposal.number, list(values), skip_if_finished=True)

    @on_storage
    def prune(self, proposal: Proposal) -> None:
        """Record that the pruner stopped training."""
        self._study.tell(proposal.number, state=TrialState.PRUNED, skip_if_finished=True)

    @on_storage
    def fail(self, proposal: Proposal, reason: str) -> None:
        """Record that training failed permanently; the study continues."""
        self._handle(proposal).set_user_attr("failure", reason)
        self._study.tell(proposal.number, state=TrialState.FAIL, skip_if_finished=True)

    @on_storage
    def best_point(self) -> Point | None:
        """Return the best finished candidate by the first objective; None if none finished."""
        finished = [t for t in _trained(self._trials()) if t.state == TrialState.COMPLETE]
        if not finished:
            return None
        sign = self._objectives[0].sign
        best = min(finished, key=lambda t: (sign * t.values[0], t.number))
        return dict(best.params)

    def _n_known(self, number: int) -> int:
        """Return of how many trials a candidate may know the results: those before it by number."""
        return max(0, number - self._config.n_parallel + 1)

    def _next_point(self, trials: list[FrozenTrial], left: Point) -> tuple[Point, dict[str, Any]]:
        """Return the next candidate, given the trials before it as it may know them.

        Returns:
            The candidate, and the sampler's system attributes of it.
        """
        proposed = {key_of(trial.params) for trial in trials}
        in_order = [*self._config.first]
        if self._config.sampler == "grid":
            in_order += grid_of(self._config) or ()
        for point in in_order:
            if key_of(point) not in proposed:
                return point, {}
        if _n_rejected_last(trials) >= _MAX_REJECTED_IN_A_ROW:
            return left, {}
        # A repeated candidate takes its result from the earlier one, which may still be training.
        n_draws = 1 if self._config.n_parallel == 1 else _MAX_REJECTED_IN_A_ROW
        for draw in range(n_draws):
            # In memory, so that a kill leaves no trace and trial numbers agree.
            replica = optuna.create_study(
                sampler=_sampler(self._config, len(trials), draw),
                directions=_directions(self._objectives),
            )
            replica.add_trials(trials)
            asked = replica.ask(distributions_of(self._config))
            if n_draws == 1 or key_of(asked.params) not in proposed:
                notes = replica.get_trials(deepcopy=False)[-1].system_attrs
                return dict(asked.params), dict(notes)
        return left, {}

    def _handle(self, proposal: Proposal) -> optuna.Trial:
        """Return a writable handle of an open trial, even one that another process began."""
        return optuna.Trial(self._study, proposal.trial_id)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def open_study(
    storage_uri: str, sweep: Sweep, config: Study, lock_dir: Path, generation: int = 1
) -> SearchStudy:
    """Open a sweep's study, creating schema and study on first use.

    Args:
        storage_uri: SQLAlchemy URI of Optuna's storage.
        sweep: The sweep.
        config: Its study.
        lock_dir: Folder of the lock for creating the schema, which concurrent creation would break.
        generation: Counts up whenever the study starts over.

    Raises:
        RecordError: If the storage cannot be opened.
    """
    prepare_storage(storage_uri, lock_dir)
    objectives = objectives_of(config, sweep.objective)

    def open_or_create() -> optuna.Study:
        return optuna.create_study(
            storage=connect_storage(storage_uri),
            study_name=study_name(sweep, config, generation),
            directions=_directions(objectives),
            load_if_exists=True,
            sampler=_sampler(config, 0),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=config.n_startup_trials,
                n_warmup_steps=config.n_pruning_warmup_steps,
            ),
        )

    with opening_storage(storage_uri, lock_dir):
        return SearchStudy(retry_while_locked(open_or_create), config, objectives)


def sampler_seed(config: Study, number: int, draw: int = 0) -> int:
    """Return the sampler's seed for a trial, a fixed function of its number.

    Args:
        config: The study.
        number: Number of the trial.
        draw: Counts up while the sampler proposes known candidates.
    """
    text = f"{config.sampler_seed}/{number}" + (f"/{draw}" if draw else "")
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _sampler(config: Study, number: int, draw: int = 0) -> optuna.samplers.BaseSampler:
    seed = sampler_seed(config, number, draw)
    match config.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.n_startup_trials)
        case "nsga2":
            size = max(2, config.n_startup_trials)
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=size)
        case "random" | "grid":  # a grid is tried in order
            return optuna.samplers.RandomSampler(seed=seed)


def _directions(objectives: Sequence[StudyObjective]) -> list[Direction]:
    return [objective.direction for objective in objectives]


def _trained(trials: Iterable[FrozenTrial]) -> Iterator[FrozenTrial]:
    for trial in trials:
        if trial.state.is_finished() and _RUN_NAME in trial.user_attrs:
            yield trial


def _proposal_of(trial: FrozenTrial, point: Point, earlier: Iterable[FrozenTrial]) -> Proposal:
    trained = list(_trained(earlier))
    known = next((t for t in trained if key_of(t.params) == key_of(point)), None)
    return Proposal(trial.number, trial._trial_id, point, len(_tried(trained)), known)


def _tried(trials: Iterable[FrozenTrial]) -> set[PointKey]:
    return {key_of(trial.params) for trial in _trained(trials)}


def _set_budget(trial: optuna.Trial, value: float) -> None:
    """Set the sampler's constraint: above 0, the candidate cannot meet the budget."""
    if "budget" not in trial.constraints:
        trial.set_constraint("budget", value)


def _as_known(trials: list[FrozenTrial], n_known: int) -> list[FrozenTrial]:
    """Return trials as the next candidate may know them: the last ones without results.

    Infeasible candidates are known at once, whoever proposed them.
    """
    open_trials = [
        trial
        if _INFEASIBLE in trial.user_attrs
        else optuna.create_trial(
            state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions
        )
        for trial in trials[n_known:]
    ]
    return [*trials[:n_known], *open_trials]


def _n_rejected_last(trials: list[FrozenTrial]) -> int:
    """Count the infeasible or known trials at the end."""
    n_rejected = 0
    for trial in reversed(trials):
        if not {_INFEASIBLE, _REPEATS} & set(trial.user_attrs):
            break
        n_rejected += 1
    return n_rejected
