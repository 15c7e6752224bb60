"""The record of a sweep: its declaration and the runs that belong to it.

A sweep's id ends in the hash of what makes runs comparable (text, architecture, training,
matching), so a sweep edited there is another sweep, while one given more seeds, models or trials is
continued.
"""

from collections import Counter
from typing import Literal

from pydantic import Field

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.budget.quantity import MatchedQuantity
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.names import EntryName
from switchhead_lab.config.search import Point, StudyObjective
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import FailureCause
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.record import RunResult, RunState

Role = Literal["baseline", "declared", "candidate", "best"]
# Costs by what a search optimises.
_COSTS = {"macs": "macs", "parameters": "n_parameters", "memory_floats": "memory_floats"}
# Failed runs that are named at the end of a sweep.
_MOST_FAILURES = 5


class SweepMember(FrozenModel):
    """One run that a sweep asked for."""

    model: str
    """Name of the model in the sweep."""
    role: Role
    """Why it is in the sweep: "best" marks the runs of a study's best candidate."""
    seed: int
    """Seed of the run."""
    run_name: EntryName
    """Directory of the run below the runs folder."""
    run_hash: str
    """Identity of the run."""
    state: RunState
    """What became of it."""
    trial_number: int | None = None
    """Number of the Optuna trial, for candidates."""
    point: Point = Field(default={}, exclude_if=lambda point: not point)
    """Values of the searched fields, for candidates and the best of them."""
    reason: str = ""
    """Why it failed, was pruned or interrupted."""
    cause: FailureCause = ""
    """Kind of its failure; empty unless it failed."""


class InfeasibleCandidate(FrozenModel):
    """A combination of a search space that cannot be given the baseline's budget."""

    trial_number: int
    """Number of the Optuna trial."""
    point: Point
    """Values of the searched fields."""
    reason: str
    """Why there is no such model."""


class StudyRecord(FrozenModel):
    """A search of a sweep."""

    storage_name: str
    """Name in Optuna's storage."""
    n_feasible: int | None = None
    """Combinations of its space that have a model; None where a range is continuous."""
    infeasible: list[InfeasibleCandidate] = []
    """Candidates rejected before training."""


class ResolvedModel(FrozenModel):
    """A model of the sweep as its budget resolved it."""

    name: str
    """Name in the sweep."""
    model: ModelConfig
    """Architecture."""
    costs: ModelCosts
    """Its costs, by every convention that prices it."""
    matched: MatchedQuantity | None
    """What meets the baseline's budget; None for the baseline."""
    matched_over: str | None
    """Label of the size that followed from the budget; None for the baseline."""
    sizes_by_convention: dict[str, int] = {}
    """What that size would be by each convention; empty unless MACs were matched."""


class SweepRecord(FrozenModel):
    """A sweep as recorded on disk."""

    sweep: Sweep
    """The declaration, resolved."""
    studies: dict[str, StudyRecord] = {}
    """Searches by their name."""
    models: list[ResolvedModel] = []
    """Every architecture that the sweep asked for."""
    started_at: float
    """Time of the first start, seconds since 1970."""
    updated_at: float
    """Time of the last change, seconds since 1970."""
    members: list[SweepMember] = []
    """Runs, in the order in which they were asked for."""

    def resolved(self, model: ModelConfig) -> ResolvedModel | None:
        """Return what is recorded of an architecture; None if the sweep never asked for it."""
        return next((known for known in self.models if known.model == model), None)

    def costs_of(self, model: ModelConfig) -> ModelCosts | None:
        """Return the recorded costs of an architecture; None if the sweep never asked for it."""
        known = self.resolved(model)
        return None if known is None else known.costs


def sweep_id(sweep: Sweep) -> str:
    """Return `<sweep>-<size>-<hash8>`."""
    compared = sweep.model_dump(
        mode="json",
        exclude={"summary", "paper", "models", "studies", "tune", "n_tuning_trials"},
    )
    del compared["baseline"]["seeds"]
    return f"{sweep.name}-{sweep.size}-{hash_of(compared)[:8]}"


def describe_failures(record: SweepRecord) -> str:
    """Return how many runs of a sweep failed, by cause, then a line for each; or nothing.

    The first line is, for example, "2 non-finite, 1 other".
    """
    failed = {m.run_name: m for m in record.members if m.state == "failed"}
    causes = Counter(member.cause or "other" for member in failed.values())
    counts = ", ".join(f"{number} {cause}" for cause, number in causes.most_common())
    lines = [f"  {name}: {member.reason}" for name, member in failed.items()]
    if len(lines) > _MOST_FAILURES:
        lines[_MOST_FAILURES:] = [f"  and {len(lines) - _MOST_FAILURES} more"]
    return "\n".join([counts, *lines])


def read_objective(objective: StudyObjective, result: RunResult, costs: ModelCosts) -> float:
    """Return the value of an objective.

    Args:
        objective: What to read.
        result: Figures of the run.
        costs: Costs of its model.
    """
    if objective.metric is None:
        return float(getattr(costs, _COSTS[objective.name]))
    value = result.value("validation", objective.metric)
    assert value is not None, "a finished run has the metrics that its study optimises"
    return value
