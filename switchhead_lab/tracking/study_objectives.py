"""The value of what a search optimises, for a finished run."""

from switchhead_lab.config.search import StudyObjective
from switchhead_lab.tracking.record import RunResult
from switchhead_lab.tracking.sweep_record import Costs

_COSTS = {"macs": "macs", "parameters": "n_parameters", "memory_floats": "memory_floats"}


def read_objective(objective: StudyObjective, result: RunResult, costs: Costs) -> float:
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
