"""How much each searched field matters for a search's results, by Optuna."""

from collections.abc import Sequence

import optuna

from switchhead_lab.config.search import Point, Study
from switchhead_lab.tracking.search_space import distributions_of

BEST_SHARE = 0.25
"""The best candidates, whose values are compared with those of all."""


def field_importances(
    study: Study, results: Sequence[tuple[Point, float]]
) -> tuple[tuple[str, float], ...]:
    """Return the importance of each searched field by PED-ANOVA, the largest first.

    It is the field's share of the difference between the distribution of its values among the best
    quarter of the candidates and among all of them (Watanabe, Bansal and Hutter, 2023).

    Args:
        study: The search.
        results: Values of the fields and the result of each candidate; lower is better.

    Returns:
        Names and shares that add up to 1; empty for a single field or results that are all equal.
    """
    if len(study.space) < 2 or len({value for _, value in results}) < 2:
        return ()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    replica = optuna.create_study(direction="minimize")
    distributions = distributions_of(study)
    replica.add_trials(
        optuna.create_trial(params=point, distributions=distributions, value=value)
        for point, value in results
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    found = optuna.importance.get_param_importances(replica, evaluator=evaluator)
    return tuple(found.items()) if sum(found.values()) > 0 else ()
