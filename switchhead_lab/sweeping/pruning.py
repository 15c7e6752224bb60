"""Pruning the candidates of a search by the median rule."""

from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from switchhead_lab.config.search import StudyObjective
from switchhead_lab.sweeping.study_storage import on_storage
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.training.hooks import Prune


class PruningHook:
    """Training hook that reports the metric and applies Optuna's median pruner.

    Args:
        trial: The open trial.
        objective: The study's first objective, a metric.
        reported: Values by step from earlier attempts, possibly beyond their last checkpoint.
        earlier: Finished trials to compare with: the same whenever the candidate is trained, so
            that other workers' progress does not decide what is pruned.
        pruner: The pruner; None for studies with several objectives, which Optuna does not prune.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        objective: StudyObjective,
        reported: Mapping[int, float],
        earlier: Sequence[FrozenTrial],
        pruner: optuna.pruners.BasePruner | None,
    ) -> None:
        self._trial, self._objective, self._pruner = trial, objective, pruner
        self._reported = dict(reported)
        self._study = optuna.create_study(direction=objective.direction)
        if pruner is not None:
            self._study.add_trials(earlier)

    @on_storage
    def observe(self, point: MetricPoint) -> Prune | None:
        """Report a validation; return `Prune` if the median pruner prunes."""
        metric = self._objective.metric
        assert metric is not None, "the first objective is a metric"
        value = point.metrics.get(f"validation/{metric.name}")
        if value is None or self._pruner is None:
            return None
        if point.step not in self._reported:
            self._trial.report(value, point.step)
            self._reported[point.step] = value
        if not self._is_worse_than_the_median(self._pruner, point.step):
            return None
        side = "above" if metric.lower_is_better else "below"
        return Prune(
            f"validation {metric.label} {metric.text(value)} at step {point.step} is {side} the "
            "median of earlier candidates"
        )

    def _is_worse_than_the_median(self, pruner: optuna.pruners.BasePruner, step: int) -> bool:
        """Apply the pruner as of `step`: a repeated step must not see later reports."""
        seen = {s: value for s, value in self._reported.items() if s <= step}
        as_of_step = optuna.create_trial(state=TrialState.RUNNING, intermediate_values=seen)
        return pruner.prune(self._study, as_of_step)
