"""What a search optimises: a metric of validation, or a cost that is known before training."""

from dataclasses import dataclass

from switchhead_lab.config.search import COST_OBJECTIVES, METRIC_DIRECTIONS, Direction, Study
from switchhead_lab.tracking.record import RunResult
from switchhead_lab.tracking.sweep_record import Costs

DEFAULT_OBJECTIVE = "validation/perplexity"
_RESULTS = {
    "validation/loss": "validation_loss_nats",
    "validation/perplexity": "validation_perplexity",
    "validation/accuracy": "validation_accuracy",
}
_LOGGED = {"validation/loss": "validation/loss_nats"}
_COSTS = {"macs": "macs", "parameters": "n_parameters", "memory_floats": "memory_floats"}


@dataclass(frozen=True)
class StudyObjective:
    """One quantity that a study optimises.

    Attributes:
        name: Name in the study's declaration.
    """

    name: str

    @property
    def direction(self) -> Direction:
        """What is better."""
        return METRIC_DIRECTIONS.get(self.name, "minimize")

    @property
    def is_cost(self) -> bool:
        """Whether it is known before training."""
        return self.name in COST_OBJECTIVES

    @property
    def logged_name(self) -> str:
        """Name of the metric that training logs at every validation."""
        return _LOGGED.get(self.name, self.name)

    def read(self, result: RunResult, costs: Costs) -> float:
        """Return its value for a finished run.

        Args:
            result: Figures of the run.
            costs: Costs of its model.
        """
        if self.is_cost:
            return float(getattr(costs, _COSTS[self.name]))
        return float(getattr(result, _RESULTS[self.name]))


def objectives_of(study: Study) -> list[StudyObjective]:
    """Return what a study optimises, the one that chooses first."""
    return [StudyObjective(name) for name in study.objectives or [DEFAULT_OBJECTIVE]]
