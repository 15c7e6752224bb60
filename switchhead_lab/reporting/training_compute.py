"""Compute of whole trainings, for curves and ladders."""

from switchhead_lab.budget.costs import TRAINING_FACTOR
from switchhead_lab.reporting.report_data import ModelRow

CONVENTION = "executed"
"""Convention of training MACs: what is really computed."""


def training_macs(row: ModelRow) -> float | None:
    """Return the MACs of one training of a model, forward and backward.

    None without a finished run or known costs.
    """
    results = [run.result for run in row.finished if run.result is not None]
    if not results or row.costs is None:
        return None
    per_token = row.costs.model_macs_per_token(CONVENTION)
    return None if per_token is None else TRAINING_FACTOR * results[0].n_tokens * per_token
