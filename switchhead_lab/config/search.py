"""The schema of studies: search spaces over the fields of a model and its training.

A study searches one model: either a template with fixed fields and one open size that follows from
the budget, as in a declared model, or a model of the sweep, given by name.
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

from switchhead_lab.config.declared import DEFAULT_SIZE, Seeds, shared_training
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.names import ModelName
from switchhead_lab.config.schema import SEARCHABLE_TRAINING, TrainingConfig
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.base import Objective
from switchhead_lab.objectives.metrics import LOSS, Metric
from switchhead_lab.variants.base import Block, Variant
from switchhead_lab.variants.registry import variants_of

Value = bool | int | float | str
Point = dict[str, Value]
"""A value for every searched field."""
PointKey = tuple[tuple[str, Value], ...]
Sampler = Literal["tpe", "random", "grid", "nsga2"]
Direction = Literal["minimize", "maximize"]
COST_OBJECTIVES = ("macs", "parameters", "memory_floats")
"""Costs that a study can minimise besides a metric, in its sweep's convention."""
_LOSS_NAME = "validation/loss"
_TRAINING, _FEEDFORWARD = "training.", "feedforward."


class Range(FrozenModel):
    """Numbers between two inclusive bounds."""

    low: int | float
    """Smallest value."""
    high: int | float
    """Largest value."""
    step: int | float | None = None
    """Difference between neighbouring values; omit to allow every number in between."""
    log: bool = False
    """Sample the logarithm uniformly; needs positive values and no step."""

    @property
    def is_integral(self) -> bool:
        """Whether bounds and step, and so all values, are integers."""
        return all(isinstance(x, int) for x in (self.low, self.high, self.step or 1))

    @property
    def values(self) -> list[Value] | None:
        """Its values in order; None if the range is continuous."""
        step = self.step or (1 if self.is_integral else None)
        if step is None:
            return None
        n_steps = round((self.high - self.low) / step)
        return [self.low + number * step for number in range(n_steps + 1)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}; swap or change them")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log=true needs a positive low and no step")
        if self.step is not None:
            n_steps = (self.high - self.low) / self.step if self.step > 0 else 0.5
            if abs(n_steps - round(n_steps)) > 1e-9:
                raise ValueError(
                    f"step={self.step} does not reach high={self.high} from low={self.low}; use "
                    "a positive step that divides their difference"
                )
        return self


Choices = Annotated[list[Value], Field(min_length=1)]
FieldValues = Range | Choices
Space = Annotated[dict[str, FieldValues], Field(min_length=1)]


def with_default_name(study: Any) -> Any:
    """Return a declared study, with its default name if it has none."""
    model = study.get("model") if isinstance(study, dict) else None
    if isinstance(model, str):
        return {"name": f"{model}-searched", **study}
    if isinstance(model, dict) and isinstance(model.get("kind"), str):
        return {"name": model["kind"], **study}
    return study


class Study(FrozenModel):
    """An Optuna search over one model of the sweep."""

    name: ModelName
    """Name in tables and run names; by default the model's kind, or its name plus "-searched"."""
    model: dict[str, Any] | str
    """The model to search: a template such as `{ kind = "switchhead", ... }` with the fixed fields,
    as in `[[models]]`, or the name of the baseline or of a declared model."""
    space: Space
    """Search space: for each field a list of values, or low and high with optional step or log.
    Attention fields go by name, others as `feedforward.FIELD` and `training.FIELD`. Combinations
    that cannot be matched are rejected before training."""
    first: list[Point] = []
    """Candidates to try before the sampler's own, in this order."""
    n_trials: int = Field(ge=1)
    """Distinct candidates to train, pruned ones included."""
    seeds: Seeds = [0]
    """The search trains with the first seed; the best candidate is then trained with all."""
    objectives: list[str] = Field(default=[], max_length=2, exclude_if=lambda names: not names)
    """What to optimise: one or two of the validation metrics and macs, parameters and
    memory_floats; by default the headline metric of the sweep's objective. With two, there is no
    pruning, and the best candidate by the first one is trained with all seeds."""
    sampler: Sampler = Field(default="tpe", exclude_if=lambda sampler: sampler == "tpe")
    """Optuna sampler that proposes candidates."""
    sampler_seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the sampler."""
    n_startup_trials: int = Field(default=4, ge=0)
    """Random trials before TPE models the results and before the pruner acts."""
    n_pruning_warmup_steps: int = Field(default=0, ge=0)
    """Training steps before a trial can be pruned by the median rule."""
    n_parallel: int = Field(default=1, ge=1, le=1000, exclude_if=lambda number: number == 1)
    """Candidates trained at the same time if several workers share the sweep. A candidate is
    proposed and pruned by the results of those at least this many before it, so that the search is
    the same whichever worker is faster."""

    @model_validator(mode="before")
    @classmethod
    def _named_after_the_model(cls, values: Any) -> Any:
        return with_default_name(values)

    @model_validator(mode="after")
    def _grid_is_finite(self) -> Self:
        endless = [path for path, dimension in self.space.items() if values_of(dimension) is None]
        if self.sampler == "grid" and endless:
            raise ValueError(
                f'sampler="grid" but space.{endless[0]} has no step; give it a step or a list of '
                'values, or use sampler="random"'
            )
        return self

    @model_validator(mode="after")
    def _first_within_space(self) -> Self:
        for point in self.first:
            for path in {**self.space, **point}:
                if path not in point or path not in self.space:
                    where = "the space" if path in point else "the candidate"
                    raise ValueError(
                        f"a first candidate and the space name different fields: {path} is not in "
                        f"{where}"
                    )
                if not contains(self.space[path], point[path]):
                    raise ValueError(
                        f"a first candidate has {path}={point[path]}, which is not in the space; "
                        f"add it to space.{path}"
                    )
        return self


@dataclass(frozen=True)
class StudyObjective:
    """One quantity that a study optimises.

    Attributes:
        name: Name in the study's declaration.
        metric: Metric of validation; None for a cost, which is known before training.
    """

    name: str
    metric: Metric | None

    @property
    def direction(self) -> Direction:
        """Optuna's direction of optimisation."""
        is_low = self.metric is None or self.metric.lower_is_better
        return "minimize" if is_low else "maximize"

    @property
    def sign(self) -> float:
        """Factor that makes smaller values better."""
        return 1.0 if self.direction == "minimize" else -1.0

    @property
    def superlative(self) -> str:
        """Name of its best value, e.g. "lowest validation perplexity"."""
        return f"{'lowest' if self.sign > 0 else 'highest'} {self.label}"

    @property
    def label(self) -> str:
        """Display name."""
        return self.name if self.metric is None else f"validation {self.metric.label}"


def objectives_of(study: Study, objective: Objective) -> list[StudyObjective]:
    """Return the quantities that a study optimises; the first one chooses the best candidate.

    Args:
        study: The study.
        objective: Objective of its sweep, whose headline metric is the default.

    Raises:
        ValueError: If there is no such metric or cost, or a cost comes first.
    """
    if not study.objectives:
        return [StudyObjective(f"validation/{objective.headline.name}", objective.headline)]
    metrics = {f"validation/{metric.name}": metric for metric in objective.metrics}
    metrics = {_LOSS_NAME: LOSS, **metrics}
    known = [*metrics, *COST_OBJECTIVES]
    for name in study.objectives:
        if name not in known:
            raise ValueError(
                f'study "{study.name}": objectives has "{name}"{near_miss(name, known)}: use '
                f"{', '.join(known)}"
            )
    if len(set(study.objectives)) < len(study.objectives):
        raise ValueError(f'study "{study.name}": objectives names {study.objectives[0]} twice')
    if study.objectives[0] in COST_OBJECTIVES:
        raise ValueError(
            f'study "{study.name}": objectives begins with the cost "{study.objectives[0]}", but '
            "the first one chooses the best candidate; begin with a validation metric"
        )
    return [StudyObjective(name, metrics.get(name)) for name in study.objectives]


def values_of(dimension: FieldValues) -> list[Value] | None:
    """Return the values of a searched field in order; None for a continuous range."""
    return dimension.values if isinstance(dimension, Range) else dimension


def contains(dimension: FieldValues, value: Value) -> bool:
    """Return whether a value is in the space of a searched field."""
    values = values_of(dimension)
    if values is None:
        assert isinstance(dimension, Range)
        return isinstance(value, int | float) and dimension.low <= value <= dimension.high
    return value in values


def grid_of(study: Study) -> Iterator[Point] | None:
    """Return every combination of a study's space in order; None if a range is continuous."""
    values = [values_of(dimension) for dimension in study.space.values()]
    if any(known is None for known in values):
        return None
    combined = itertools.product(*(known or () for known in values))
    return (dict(zip(study.space, chosen, strict=True)) for chosen in combined)


def random_points(study: Study) -> Iterator[Point]:
    """Yield endless random combinations of a study's space, determined by the sampler seed."""
    for number in itertools.count():
        numbers = random.Random(f"{study.sampler_seed}/{number}")
        yield {path: _draw(dimension, numbers) for path, dimension in study.space.items()}


def _draw(dimension: FieldValues, numbers: random.Random) -> Value:
    values = values_of(dimension)
    if values is not None:
        return numbers.choice(values)
    assert isinstance(dimension, Range)
    if dimension.log:
        return math.exp(numbers.uniform(math.log(dimension.low), math.log(dimension.high)))
    return numbers.uniform(dimension.low, dimension.high)


def key_of(point: Mapping[str, Value]) -> PointKey:
    """Return a hashable key that identifies a candidate within its study."""
    return tuple(sorted(point.items()))


def describe_point(point: Mapping[str, Value]) -> str:
    """Format a candidate, e.g. "n_heads=2 training.learning_rate=0.00213"."""
    return " ".join(
        f"{path}={value:.4g}" if isinstance(value, float) else f"{path}={value}"
        for path, value in point.items()
    )


def tuned_paths(space: Mapping[str, FieldValues]) -> list[str]:
    """Return the searched fields that belong to training."""
    return [path for path in space if path.startswith(_TRAINING)]


def split_point(point: Mapping[str, Value]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a candidate into fields of the model, as in a declaration, and of training."""
    model: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for path, value in point.items():
        if path.startswith(_TRAINING):
            training[path.removeprefix(_TRAINING)] = value
        elif path.startswith(_FEEDFORWARD):
            model.setdefault("feedforward", {})[path.removeprefix(_FEEDFORWARD)] = value
        else:
            model[path] = value
    return model, training


def require_searchable(name: str, space: Mapping[str, FieldValues], template: Any) -> None:
    """Reject a space with unknown fields or invalid values.

    Args:
        name: Name of the study, for the message.
        space: Values of each field.
        template: Fixed fields of the model with the kinds of its blocks; None where only training
            may be searched.

    Raises:
        ValueError: If a field is unknown, fixed or follows from the budget, or a value is invalid.
    """
    known = _searchable_fields(template)
    for path, dimension in space.items():
        field = known.get(path)
        if field is None:
            reason = shared_training(path) or near_miss(path, list(known))
            raise ValueError(
                f'study "{name}": space.{path}{reason}: not a searchable '
                f"field; fields: {', '.join(known)}"
            )
        _require_values(f'study "{name}": space.{path}', dimension, field)


def _searchable_fields(template: Mapping[str, Any] | None) -> dict[str, FieldInfo]:
    fields = {
        f"{_TRAINING}{name}": TrainingConfig.model_fields[name] for name in SEARCHABLE_TRAINING
    }
    if template is None:
        return fields
    open_size = template.get("match_over", DEFAULT_SIZE)
    attention = _fields_of("attention", template, open_size)
    feedforward = _fields_of("feedforward", template.get("feedforward") or {}, open_size)
    return attention | {f"{_FEEDFORWARD}{name}": x for name, x in feedforward.items()} | fields


def _fields_of(block: Block, given: Mapping[str, Any], open_size: str) -> dict[str, FieldInfo]:
    """Return the fields of a block that are neither fixed nor follow from the budget."""
    variant: type[Variant] | None = variants_of(block).get(str(given.get("kind")))
    if variant is None:
        return {}
    labels = {field.name: field.label or field.name for field in variant.sizes}
    return {
        name: field
        for name, field in variant.model_fields.items()
        if name not in {"kind", *given} and labels.get(name) != open_size
    }


def _require_values(where: str, dimension: FieldValues, field: FieldInfo) -> None:
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[annotation, *field.metadata]
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config={"strict": True})
    given = [dimension.low, dimension.high] if isinstance(dimension, Range) else dimension
    if isinstance(dimension, Range) and not dimension.is_integral and field.annotation is int:
        raise ValueError(f"{where}: the field takes integers; give low, high and step as integers")
    for value in given:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{where} has {value!r}: {error.errors()[0]['msg']}") from None
