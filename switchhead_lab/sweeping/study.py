"""The Optuna study of a sweep: proposes candidates and records their results.

Each candidate is a function of the trials before it. An interrupted trial stays open with its
reports and is proposed again first. So a study that is stopped and continued, anywhere and any
number of times, proposes, prunes and chooses the same as an uninterrupted one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.objective import DEFAULT_OBJECTIVE
from switchhead_lab.config.redaction import mask_address
from switchhead_lab.config.search import (
    Direction,
    FieldValues,
    Point,
    PointKey,
    Range,
    Study,
    StudyObjective,
    grid_of,
    key_of,
    objectives_of,
)
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import LabError, RecordError
from switchhead_lab.sweeping.study_storage import (
    connect_storage,
    create_storage,
    on_storage,
    retry_while_locked,
    storage_reason,
)
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.hooks import Prune

_RUN_NAME, _INFEASIBLE, _REPEATS = "run_name", "infeasible", "repeats_trial"
_MAX_REJECTED_IN_A_ROW = 10


@dataclass(frozen=True)
class Proposal:
    """A candidate to train.

    Attributes:
        number: Number of the trial.
        point: Values of the searched fields.
    """

    number: int
    point: Point


class SearchStudy:
    """A study on its storage; open it once per process, under the sweep's lock.

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

    @property
    @on_storage
    def n_tried(self) -> int:
        """Number of distinct trained candidates, including pruned and failed ones."""
        return len(self._tried())

    @on_storage
    def propose(self, untried: Callable[[set[PointKey]], Point | None]) -> Proposal | None:
        """Return the interrupted candidate, or the next one.

        Args:
            untried: Returns a feasible candidate outside the given set, None if all were tried;
                used when the sampler keeps proposing known or infeasible candidates.

        Returns:
            The candidate; None if `n_trials` candidates were tried or none is left.
        """
        trials = self._trials()
        if trials and not trials[-1].state.is_finished():
            return Proposal(trials[-1].number, dict(trials[-1].params))
        tried = self._tried()
        left = untried(tried)
        if len(tried) >= self._config.n_trials or left is None:
            return None
        point, notes = self._next_point(trials, left)
        # Atomic: a trial without parameters could not be continued.
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=point,
                distributions=_distributions(self._config),
                system_attrs=notes,
            )
        )
        return Proposal(self._trials()[-1].number, point)

    @on_storage
    def known_result(self, proposal: Proposal) -> FrozenTrial | None:
        """Return the earlier trial of the same candidate, if any."""
        return next(
            (t for t in self._trained() if key_of(t.params) == key_of(proposal.point)), None
        )

    @on_storage
    def reject_infeasible(self, proposal: Proposal, reason: str) -> None:
        """Record that a candidate is infeasible; it does not count as tried."""
        trial = self._handle(proposal)
        trial.set_user_attr(_INFEASIBLE, reason)
        _set_budget(trial, 1.0)
        self._study.tell(proposal.number, state=TrialState.PRUNED)

    @on_storage
    def repeat(self, proposal: Proposal, known: FrozenTrial) -> None:
        """Record the known result of a candidate that was trained before."""
        trial = self._handle(proposal)
        trial.set_user_attr(_REPEATS, known.number)
        _set_budget(trial, 0.0)
        # A pruned trial's value is its last report; `tell` rejects values of pruned trials.
        values = known.values if known.state == TrialState.COMPLETE else None
        self._study.tell(proposal.number, values, state=known.state)

    @on_storage
    def begin(self, proposal: Proposal, run_name: str) -> "PruningHook":
        """Record that a candidate is being trained; return the hook that may prune it."""
        trial = self._handle(proposal)
        trial.set_user_attr(_RUN_NAME, run_name)
        _set_budget(trial, 0.0)
        reported = self._stored(proposal).intermediate_values
        return PruningHook(self._study, trial, self._objectives[0], reported)

    @on_storage
    def finish(self, proposal: Proposal, values: Sequence[float]) -> None:
        """Record the objectives of a finished candidate."""
        self._study.tell(proposal.number, list(values))

    @on_storage
    def prune(self, proposal: Proposal) -> None:
        """Record that the pruner stopped training."""
        self._study.tell(proposal.number, state=TrialState.PRUNED)

    @on_storage
    def fail(self, proposal: Proposal, reason: str) -> None:
        """Record that training failed permanently; the study continues."""
        self._handle(proposal).set_user_attr("failure", reason)
        self._study.tell(proposal.number, state=TrialState.FAIL)

    @on_storage
    def best_point(self) -> Point | None:
        """Return the best finished candidate by the first objective; None if none finished."""
        finished = [t for t in self._trained() if t.state == TrialState.COMPLETE]
        if not finished:
            return None
        sign = self._objectives[0].sign
        best = min(finished, key=lambda t: (sign * t.values[0], t.number))
        return dict(best.params)

    def _next_point(self, trials: list[FrozenTrial], left: Point) -> tuple[Point, dict[str, Any]]:
        """Return the next candidate, given the trials before it, all finished.

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
        # In memory, so that a kill leaves no trace and trial numbers agree.
        replica = optuna.create_study(
            sampler=_sampler(self._config, len(trials)), directions=_directions(self._objectives)
        )
        replica.add_trials(trials)
        asked = replica.ask(_distributions(self._config))
        return dict(asked.params), dict(replica.get_trials(deepcopy=False)[-1].system_attrs)

    def _handle(self, proposal: Proposal) -> optuna.Trial:
        """Return a writable handle of an open trial, even one that another process began."""
        return optuna.Trial(self._study, self._stored(proposal)._trial_id)

    def _stored(self, proposal: Proposal) -> FrozenTrial:
        return self._trials()[proposal.number]

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trained(self) -> Iterator[FrozenTrial]:
        for trial in self._trials():
            if trial.state.is_finished() and _RUN_NAME in trial.user_attrs:
                yield trial

    def _tried(self) -> set[PointKey]:
        return {key_of(trial.params) for trial in self._trained()}


class PruningHook:
    """Training hook that reports the metric and applies Optuna's median pruner.

    Args:
        study: The study.
        trial: The open trial.
        objective: The study's first objective, a metric.
        reported: Values by step from earlier attempts, possibly beyond their last checkpoint.
    """

    def __init__(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        objective: StudyObjective,
        reported: Mapping[int, float],
    ) -> None:
        self._study, self._trial, self._objective = study, trial, objective
        self._reported = dict(reported)

    @on_storage
    def observe(self, point: MetricPoint) -> Prune | None:
        """Report a validation; return `Prune` if the median pruner prunes."""
        metric = self._objective.metric
        assert metric is not None, "the first objective is a metric"
        value = point.metrics.get(f"validation/{metric.name}")
        # Optuna prunes single-objective studies only.
        if value is None or len(self._study.directions) > 1:
            return None
        if point.step not in self._reported:
            self._trial.report(value, point.step)
            self._reported[point.step] = value
        if not self._is_worse_than_the_median(point.step):
            return None
        side = "above" if metric.lower_is_better else "below"
        return Prune(
            f"validation {metric.label} {metric.text(value)} at step {point.step} is {side} the "
            "median of earlier candidates"
        )

    def _is_worse_than_the_median(self, step: int) -> bool:
        """Apply the pruner as of `step`: a repeated step must not see later reports."""
        seen = {s: value for s, value in self._reported.items() if s <= step}
        as_of_step = optuna.create_trial(state=TrialState.RUNNING, intermediate_values=seen)
        return self._study.pruner.prune(self._study, as_of_step)


def study_name(sweep: Sweep, config: Study, generation: int = 1) -> str:
    """Return the study's name, which depends on everything that affects a trial's result.

    It excludes the number of trials and the seeds after the first, so that raising them continues
    the study, and for language models the default metric.

    Args:
        sweep: The sweep.
        config: Its study.
        generation: Counts up whenever the study starts over.
    """
    meaning = config.model_dump(mode="json", exclude={"n_trials", "first"})
    meaning["seeds"] = meaning["seeds"][:1]
    if isinstance(config.model, str) and config.model != sweep.baseline.name:
        meaning["model"] = sweep.template_of(config)
    if sources := _sources_of(sweep, config):
        meaning["sources"] = sources
    if sweep.objective != DEFAULT_OBJECTIVE:
        meaning["metric"] = sweep.objective.headline.name
    name = f"{sweep_id(sweep)}-{config.name}-{hash_of(meaning)[:8]}"
    return name if generation == 1 else f"{name}-{generation}"


def _sources_of(sweep: Sweep, config: Study) -> list[object]:
    """Return the declarations of the models that a study starts from, nearest first."""
    declared = {model.name: model for model in sweep.models}
    searched = {study.name: study for study in sweep.studies}
    chain: list[object] = []
    source = sweep.entries[config.name].source
    while source is not None:
        known = declared.get(source) or searched.get(source)
        chain.append(known.model_dump(mode="json") if known else source)
        source = sweep.entries[source].source if source in sweep.entries else None
    return chain


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
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    make_directory(lock_dir)
    objectives = objectives_of(config, sweep.objective)

    def open_or_create() -> optuna.Study:
        create_storage(storage_uri)
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

    try:
        with FileLock(lock_dir / ".optuna-schema.lock"):
            return SearchStudy(retry_while_locked(open_or_create), config, objectives)
    except LabError:
        raise
    except Exception as error:  # SQLAlchemy raises many types
        raise RecordError(
            f"study storage {mask_address(storage_uri)}: cannot be opened: "
            f"{storage_reason(error, storage_uri)}; check study_storage in lab.toml"
        ) from error


def sampler_seed(config: Study, number: int) -> int:
    """Return the sampler's seed for a trial, a fixed function of its number."""
    digest = hashlib.sha256(f"{config.sampler_seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _sampler(config: Study, number: int) -> optuna.samplers.BaseSampler:
    seed = sampler_seed(config, number)
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


def _set_budget(trial: optuna.Trial, value: float) -> None:
    """Set the sampler's constraint: above 0, the candidate cannot meet the budget."""
    if "budget" not in trial.constraints:
        trial.set_constraint("budget", value)


def _n_rejected_last(trials: list[FrozenTrial]) -> int:
    """Count the infeasible or known trials at the end."""
    n_rejected = 0
    for trial in reversed(trials):
        if not {_INFEASIBLE, _REPEATS} & set(trial.user_attrs):
            break
        n_rejected += 1
    return n_rejected


def _distributions(config: Study) -> dict[str, BaseDistribution]:
    return {path: _distribution(dimension) for path, dimension in config.space.items()}


def _distribution(dimension: FieldValues) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension)
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.is_integral:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)
