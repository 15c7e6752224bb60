"""The search space of a study as Optuna's distributions."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from switchhead_lab.config.search import FieldValues, Range, Study


def distributions_of(study: Study) -> dict[str, BaseDistribution]:
    """Return the distribution of every searched field."""
    return {path: _distribution(values) for path, values in study.space.items()}


def _distribution(dimension: FieldValues) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension)
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.is_integral:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)
