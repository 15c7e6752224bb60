"""The Optuna study of a sweep: propose a candidate, take its result.

Candidates are proposed one at a time, each a function of the trials before it. A trial that was
interrupted stays open with what it reported and is proposed again first, so a study that is stopped
and continued, anywhere and any number of times, proposes, prunes and chooses what an undisturbed
one would.
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
    patiently,
    reason_of,
)
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.hooks import Prune

_RUN_NAME, _INFEASIBLE, _REPEATS = "run_name", "infeasible", "repeats_trial"
_MAX_REJECTED_IN_A_ROW = 10


@dataclass(frozen=True)
class Proposal:
    """A candidate that a study wants to know about.

    Attributes:
        number: Number of the trial.
        point: Values of the searched fields.
    """

    number: int
    point: Point


class SearchStudy:
    """A study on its storage; open it once per process, under the sweep's lock.

    Every method raises `StorageError` where the storage refuses; nothing is lost by that.

    Args:
        study: The study on its storage.
        config: Its declaration.
        objectives: What it optimises, the one that chooses first.
    """

    def __init__(
        self, study: optuna.Study, config: Study, objectives: Sequence[StudyObjective]
    ) -> None:
        self._study, self._config, self._objectives = study, config, objectives

    @property
    @on_storage
    def n_tried(self) -> int:
        """Distinct candidates that were trained, pruned and failed ones included."""
        return len(self._tried())

    @on_storage
    def propose(self, untried: Callable[[set[PointKey]], Point | None]) -> Proposal | None:
        """Return the candidate that was interrupted, or ask for the next one.

        Args:
            untried: Returns a feasible candidate outside the given set, None if all were tried;
                taken where the sampler keeps proposing what is known or infeasible.

        Returns:
            None when `n_trials` candidates were tried or none is left.
        """
        trials = self._trials()
        if trials and not trials[-1].state.is_finished():
            return Proposal(trials[-1].number, dict(trials[-1].params))
        tried = self._tried()
        left = untried(tried)
        if len(tried) >= self._config.n_trials or left is None:
            return None
        point, notes = self._next_point(trials, left)
        # In one step: a trial without parameters could not be continued.
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
        """Return the trial that trained the same candidate before, if any."""
        return next(
            (t for t in self._trained() if key_of(t.params) == key_of(proposal.point)), None
        )

    @on_storage
    def reject_infeasible(self, proposal: Proposal, reason: str) -> None:
        """Record that a candidate has no model; it does not count as tried."""
        trial = self._handle(proposal)
        trial.set_user_attr(_INFEASIBLE, reason)
        _set_budget(trial, 1.0)
        self._study.tell(proposal.number, state=TrialState.PRUNED)

    @on_storage
    def repeat(self, proposal: Proposal, known: FrozenTrial) -> None:
        """Answer a candidate that was trained before with its known result."""
        trial = self._handle(proposal)
        trial.set_user_attr(_REPEATS, known.number)
        _set_budget(trial, 0.0)
        # A pruned trial's value is its last report, which cannot be told.
        values = known.values if known.state == TrialState.COMPLETE else None
        self._study.tell(proposal.number, values, state=known.state)

    @on_storage
    def begin(self, proposal: Proposal, run_name: str) -> "PruningHook":
        """Note that a candidate is being trained; return the hook that may prune it."""
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
        """Record that training was stopped early by the pruner."""
        self._study.tell(proposal.number, state=TrialState.PRUNED)

    @on_storage
    def fail(self, proposal: Proposal, reason: str) -> None:
        """Record that training failed for good; the study goes on."""
        self._handle(proposal).set_user_attr("failure", reason)
        self._study.tell(proposal.number, state=TrialState.FAIL)

    @on_storage
    def best_point(self) -> Point | None:
        """Return the finished candidate that is best by the first objective, if any finished."""
        finished = [t for t in self._trained() if t.state == TrialState.COMPLETE]
        if not finished:
            return None
        sign = self._objectives[0].sign
        best = min(finished, key=lambda t: (sign * t.values[0], t.number))
        return dict(best.params)

    def _next_point(self, trials: list[FrozenTrial], left: Point) -> tuple[Point, dict[str, Any]]:
        """Choose a candidate from the trials before it, all of which are finished.

        Returns:
            The candidate, and what its sampler notes about it.
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
        # In memory, so that a kill leaves nothing of it, and trials are numbered as here.
        replica = optuna.create_study(
            sampler=_sampler(self._config, len(trials)), directions=_directions(self._objectives)
        )
        replica.add_trials(trials)
        asked = replica.ask(_distributions(self._config))
        return dict(asked.params), dict(replica.get_trials(deepcopy=False)[-1].system_attrs)

    def _handle(self, proposal: Proposal) -> optuna.Trial:
        """Return a writable handle of an open trial, even if another process began it."""
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
    """Training hook that reports the metric and applies Optuna's median rule.

    Args:
        study: The study.
        trial: The open trial.
        objective: What the study optimises first: a metric.
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
        """Report a validation; answer with `Prune` where the median rule says so."""
        metric = self._objective.metric
        assert metric is not None, "the first objective is a metric"
        value = point.metrics.get(f"validation/{metric.name}")
        # Optuna prunes by one objective only.
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
        """Ask the rule as of a step: a repeated step must not see the ones after it."""
        seen = {s: value for s, value in self._reported.items() if s <= step}
        as_of_step = optuna.create_trial(state=TrialState.RUNNING, intermediate_values=seen)
        return self._study.pruner.prune(self._study, as_of_step)


def study_name(sweep: Sweep, config: Study) -> str:
    """Return the study's name; it changes with everything that changes what a trial means.

    The number of trials and the seeds beyond the first are left out: raising them continues the
    same study. The metric that is optimised by default is left out for language models.
    """
    meaning = config.model_dump(mode="json", exclude={"n_trials", "first"})
    meaning["seeds"] = meaning["seeds"][:1]
    if isinstance(config.model, str) and config.model != sweep.baseline.name:
        meaning["model"] = sweep.template_of(config)
    if sources := _sources_of(sweep, config):
        meaning["sources"] = sources
    if sweep.objective != DEFAULT_OBJECTIVE:
        meaning["metric"] = sweep.objective.headline.name
    return f"{sweep_id(sweep)}-{config.name}-{hash_of(meaning)[:8]}"


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


def open_study(storage_uri: str, sweep: Sweep, config: Study, lock_dir: Path) -> SearchStudy:
    """Open a sweep's study, creating schema and study on first use.

    Args:
        storage_uri: SQLAlchemy URI of Optuna's storage.
        sweep: The sweep.
        config: Its study.
        lock_dir: Folder for the lock under which the schema is made: processes that make it at
            the same time would break it.

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
            study_name=study_name(sweep, config),
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
            return SearchStudy(patiently(open_or_create), config, objectives)
    except LabError:
        raise
    except Exception as error:  # SQLAlchemy's many kinds
        raise RecordError(
            f"study storage {mask_address(storage_uri)}: cannot be opened: "
            f"{reason_of(error, storage_uri)}; check study_storage in lab.toml"
        ) from error


def sampler_seed(config: Study, number: int) -> int:
    """Return the sampler's seed for a trial: one of its own for every number, always the same."""
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
        case "random" | "grid":  # a grid is taken in order
            return optuna.samplers.RandomSampler(seed=seed)


def _directions(objectives: Sequence[StudyObjective]) -> list[Direction]:
    return [objective.direction for objective in objectives]


def _set_budget(trial: optuna.Trial, value: float) -> None:
    """Tell the sampler whether a candidate can have the budget: above 0 it cannot."""
    if "budget" not in trial.constraints:
        trial.set_constraint("budget", value)


def _n_rejected_last(trials: list[FrozenTrial]) -> int:
    """Count the trials at the end that were infeasible or known."""
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
