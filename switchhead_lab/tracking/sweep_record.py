"""The record of a sweep: its declaration and the runs that belong to it.

A sweep's id ends in the hash of what makes its runs comparable (data, architecture, training,
matching): changing these makes a different sweep, while adding seeds, models or trials continues
the same one.
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
# Fields of `Costs` by study objective.
_COSTS = {"macs": "macs", "parameters": "n_parameters", "memory_floats": "memory_floats"}
# Failed runs listed at the end of a sweep.
_MOST_FAILURES = 5


class SweepMember(FrozenModel):
    """One run of a sweep."""

    model: str
    """Name of the model in the sweep."""
    role: Role
    """Role in the sweep: "best" marks the runs of a study's best candidate."""
    seed: int
    """Seed of the run."""
    run_name: EntryName
    """Name of the run directory in the runs folder."""
    run_hash: str
    """Identity of the run."""
    state: RunState
    """State of the run."""
    trial_number: int | None = None
    """Number of the Optuna trial, for candidates."""
    point: Point = Field(default={}, exclude_if=lambda point: not point)
    """Values of the searched fields, for candidates and runs of the best."""
    reason: str = ""
    """Why it failed, was pruned or was interrupted."""
    cause: FailureCause = ""
    """Kind of failure; empty unless it failed."""
    worker: str = Field(default="", exclude_if=lambda worker: not worker)
    """The worker that trains it; empty unless it is running."""
    n_vanished: int = Field(default=0, exclude_if=lambda number: not number)
    """Workers that vanished while they trained it."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies it in its sweep: two models may share a run."""
        return self.role, self.model, self.run_hash


class InfeasibleCandidate(FrozenModel):
    """A candidate of a search space that cannot match the baseline's budget."""

    trial_number: int
    """Number of the Optuna trial."""
    point: Point
    """Values of the searched fields."""
    reason: str
    """Why it cannot be matched."""


class StudyRecord(FrozenModel):
    """A search of a sweep."""

    storage_name: str
    """Name in Optuna's storage."""
    generation: int = 1
    """Counts up whenever the study starts over."""
    n_feasible: int | None = None
    """Feasible combinations of its space; None if a range is continuous."""
    infeasible: list[InfeasibleCandidate] = []
    """Candidates rejected before training."""


class ResolvedModel(FrozenModel):
    """A model of the sweep as its budget resolved it."""

    name: str
    """Name in the sweep."""
    model: ModelConfig
    """Architecture."""
    costs: ModelCosts
    """Its costs in every convention with formulas for it."""
    matched: MatchedQuantity | None
    """Quantity matched to the baseline's budget; None for the baseline."""
    matched_convention: str
    """Convention of its MACs."""
    matched_over: str | None
    """Label of the size set by the matcher; None for the baseline."""
    sizes_by_convention: dict[str, int] = {}
    """That size under each convention; empty unless MACs were matched."""


class SweepRecord(FrozenModel):
    """A sweep as recorded on disk."""

    sweep: Sweep
    """The declaration, resolved."""
    studies: dict[str, StudyRecord] = {}
    """Searches by name."""
    models: list[ResolvedModel] = []
    """Every architecture of the sweep."""
    started_at: float
    """Time of the first start, seconds since 1970."""
    updated_at: float
    """Time of the last change, seconds since 1970."""
    members: list[SweepMember] = []
    """Runs, in the order in which they were requested."""
    looks: dict[str, list[int]] = Field(default={}, exclude_if=lambda looks: not looks)
    """Pairs of seeds at each look at a claim, by its name; each look has a price."""
    added_seeds: dict[str, list[int]] = Field(default={}, exclude_if=lambda seeds: not seeds)
    """Seeds added to the declared ones to decide claims, by model."""

    def resolved(self, model: ModelConfig, name: str = "") -> ResolvedModel | None:
        """Return the recorded model with an architecture; None if it is not in the sweep.

        Args:
            model: Architecture.
            name: Name in the sweep; it decides if several models have the architecture.
        """
        found = [known for known in self.models if known.model == model]
        return next((known for known in found if known.name == name), found[0] if found else None)

    def costs_of(self, model: ModelConfig) -> ModelCosts | None:
        """Return the recorded costs of an architecture; None if it is not in the sweep."""
        known = self.resolved(model)
        return None if known is None else known.costs


OUTSIDE_ID = {
    *("summary", "paper", "models", "studies", "tune", "n_tuning_trials", "claims"),
    *("ladder", "evaluation"),
}
"""Fields of a sweep that its id leaves out: what it says of its runs, and which models it has."""


def sweep_id(sweep: Sweep) -> str:
    """Return `<sweep>-<size>-<hash8>`."""
    compared = sweep.model_dump(
        mode="json",
        exclude=OUTSIDE_ID,
    )
    del compared["baseline"]["seeds"]
    return f"{sweep.name}-{sweep.size}-{hash_of(compared)[:8]}"


def describe_failures(record: SweepRecord) -> str:
    """Return the failed runs of a sweep, counted by cause and listed; empty without failures.

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
    """Return the value of a study objective for a finished run.

    Args:
        objective: Metric or cost to read.
        result: Figures of the run.
        costs: Costs of its model.
    """
    if objective.metric is None:
        return float(getattr(costs, _COSTS[objective.name]))
    value = result.value("validation", objective.metric)
    assert value is not None, "a finished run has the metrics that its study optimises"
    return value
