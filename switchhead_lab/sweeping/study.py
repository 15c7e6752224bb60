"""The Optuna study of a sweep: propose a candidate, take its result.

Candidates are proposed one at a time from a sampler whose seed is a function of the trial's number,
so a study that is stopped and continued proposes what an uninterrupted one would.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.redaction import mask_address, mask_passwords
from switchhead_lab.config.sweep import Study, Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.plan import Shape, shape_of
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.hooks import Prune

OBJECTIVE = "validation/perplexity"
_RUN_NAME, _INFEASIBLE = "run_name", "infeasible"
_MAX_REJECTED_IN_A_ROW = 10


@dataclass(frozen=True)
class Proposal:
    """A candidate that a study wants to know about.

    Attributes:
        number: Number of the trial.
        shape: n_heads, n_experts and top_k.
    """

    number: int
    shape: Shape


class SearchStudy:
    """A study on its storage; open it once per process."""

    def __init__(self, study: optuna.Study, config: Study) -> None:
        self._study, self._config = study, config
        self._live: dict[int, optuna.Trial] = {}
        self._n_rejected_in_a_row = 0

    @property
    def n_tried(self) -> int:
        """Distinct candidates that were trained, pruned and failed ones included."""
        return len(self._tried())

    def propose(self, untried: Callable[[set[Shape]], Shape | None]) -> Proposal | None:
        """Ask for the next candidate.

        Args:
            untried: Returns a feasible shape outside the given set, or None if all were tried;
                taken where the sampler keeps proposing what is known or infeasible.

        Returns:
            None when `n_trials` candidates were tried or none is left.
        """
        tried = self._tried()
        left = untried(tried)
        if len(tried) >= self._config.n_trials or left is None:
            return None
        if self._n_rejected_in_a_row >= _MAX_REJECTED_IN_A_ROW:
            self._study.enqueue_trial(_params(left))
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = _sampler(self._config, number)
        trial = self._study.ask()
        space = self._config.space
        params = {
            "n_heads": trial.suggest_categorical("n_heads", space.n_heads),
            "n_experts": trial.suggest_categorical("n_experts", space.n_experts),
            "top_k": trial.suggest_categorical("top_k", space.top_k),
        }
        self._live[trial.number] = trial
        return Proposal(trial.number, shape_of(params))

    def known_result(self, proposal: Proposal) -> FrozenTrial | None:
        """Return the trial that trained the same candidate before, if any."""
        return next((t for t in self._trained() if shape_of(t.params) == proposal.shape), None)

    def reject_infeasible(self, proposal: Proposal, reason: str) -> None:
        """Record that a candidate has no model; it does not count as tried."""
        trial = self._live.pop(proposal.number)
        trial.set_user_attr(_INFEASIBLE, reason)
        trial.set_constraint("budget", 1.0)
        self._study.tell(trial, state=TrialState.PRUNED)
        self._n_rejected_in_a_row += 1

    def repeat(self, proposal: Proposal, known: FrozenTrial) -> None:
        """Answer a candidate that was trained before with its known result."""
        trial = self._live.pop(proposal.number)
        trial.set_user_attr("repeats_trial", known.number)
        trial.set_constraint("budget", 0.0)
        self._study.tell(trial, known.value, state=known.state)
        self._n_rejected_in_a_row += 1

    def begin(self, proposal: Proposal, run_name: str) -> "PruningHook":
        """Note that a candidate is being trained; return the hook that may prune it."""
        self._n_rejected_in_a_row = 0
        trial = self._live[proposal.number]
        trial.set_user_attr(_RUN_NAME, run_name)
        trial.set_constraint("budget", 0.0)
        return PruningHook(trial)

    def finish(self, proposal: Proposal, perplexity: float) -> None:
        """Record the objective of a finished candidate."""
        self._study.tell(self._live.pop(proposal.number), perplexity)

    def prune(self, proposal: Proposal) -> None:
        """Record that training was stopped early by the pruner."""
        self._study.tell(self._live.pop(proposal.number), state=TrialState.PRUNED)

    def fail(self, proposal: Proposal, reason: str) -> None:
        """Record that training failed; the study goes on."""
        trial = self._live.pop(proposal.number)
        trial.set_user_attr("failure", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def release(self, proposal: Proposal) -> None:
        """Give back a candidate whose training was interrupted, to be proposed again first."""
        self._requeue(self._live.pop(proposal.number).number, proposal.shape)

    def best_shape(self) -> Shape | None:
        """Return the finished candidate of lowest validation perplexity, if any finished."""
        finished = [t for t in self._trained() if t.state == TrialState.COMPLETE]
        if not finished:
            return None
        return shape_of(min(finished, key=lambda t: (t.value, t.number)).params)

    def recover(self) -> None:
        """Put back candidates whose process is gone; call it under the sweep's lock."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if set(trial.params) >= {"n_heads", "n_experts", "top_k"}:
                self._requeue(trial.number, shape_of(trial.params))
            else:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def _requeue(self, number: int, shape: Shape) -> None:
        self._study.tell(number, state=TrialState.FAIL)
        self._study.enqueue_trial(_params(shape), user_attrs={"continues_trial": number})

    def _trained(self) -> Iterator[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        continued = {t.user_attrs.get("continues_trial") for t in trials}
        for trial in trials:
            was_trained = trial.state.is_finished() and _RUN_NAME in trial.user_attrs
            if was_trained and trial.number not in continued:
                yield trial

    def _tried(self) -> set[Shape]:
        return {shape_of(trial.params) for trial in self._trained()}


class PruningHook:
    """Training hook that reports the objective and asks Optuna's median rule."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def observe(self, point: MetricPoint) -> Prune | None:
        """Report a validation; answer with `Prune` where the median rule says so."""
        perplexity = point.metrics.get(OBJECTIVE)
        if perplexity is None:
            return None
        self._trial.report(perplexity, point.step)
        if not self._trial.should_prune():
            return None
        return Prune(
            f"validation perplexity {perplexity:.2f} at step {point.step} is above the median "
            "of earlier candidates"
        )


def study_name(sweep: Sweep, config: Study) -> str:
    """Return the study's name; it changes with everything that changes what a trial means.

    The number of trials and the seeds beyond the first are left out: raising them continues the
    same study.
    """
    meaning = config.model_dump(mode="json", exclude={"n_trials", "first"})
    meaning["seeds"] = meaning["seeds"][:1]
    return f"{sweep_id(sweep)}-{config.name}-{hash_of(meaning)[:8]}"


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
    try:
        with FileLock(lock_dir / ".optuna-schema.lock"):
            study = optuna.create_study(
                storage=storage_uri,
                study_name=study_name(sweep, config),
                direction="minimize",
                load_if_exists=True,
                sampler=_sampler(config, 0),
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=config.n_startup_trials,
                    n_warmup_steps=config.n_pruning_warmup_steps,
                ),
            )
    except Exception as error:  # SQLAlchemy's many kinds
        raise RecordError(
            f"study storage {mask_address(storage_uri)}: cannot be opened: "
            f"{mask_passwords(str(error), storage_uri)}; "
            "check study_storage in lab.toml"
        ) from error
    for candidate in config.first:
        shape = (candidate.n_heads, candidate.n_experts, candidate.top_k)
        study.enqueue_trial(_params(shape), skip_if_exists=True)
    return SearchStudy(study, config)


def sampler_seed(config: Study, number: int) -> int:
    """Return the sampler's seed for a trial: one of its own for every number, always the same."""
    digest = hashlib.sha256(f"{config.sampler_seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _sampler(config: Study, number: int) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(
        seed=sampler_seed(config, number), n_startup_trials=config.n_startup_trials
    )


def _params(shape: Shape) -> dict[str, int]:
    return dict(zip(("n_heads", "n_experts", "top_k"), shape, strict=True))
