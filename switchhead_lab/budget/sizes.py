"""The sizes of a model that a budget can set, and their allowed values."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.base import Block, SizeField, Variant


@dataclass(frozen=True)
class ModelSize:
    """One size of a model: a field of its attention or of its feed-forward block.

    Attributes:
        label: Name in sweeps and messages.
        block: The block it belongs to.
        name: Name of the field.
    """

    label: str
    block: Block
    name: str

    def value(self, model: ModelConfig) -> int:
        """Return its value."""
        return int(getattr(self._variant(model), self.name))

    def at(self, model: ModelConfig, value: int) -> ModelConfig:
        """Return the model with another value, which must be allowed."""
        variant = self._variant(model).model_copy(update={self.name: value})
        return model.model_copy(update={self.block: variant})

    def step(self, model: ModelConfig) -> int:
        """Return the step between allowed values."""
        return self._variant(model).step(self._field(model))

    def executed_step(self, model: ModelConfig) -> int:
        """Return an increase that always raises the executed costs."""
        return self._field(model).executed_step

    def smallest(self, model: ModelConfig) -> int:
        """Return the smallest value, given the other sizes."""
        return self._variant(model).smallest(self._field(model))

    def at_smallest(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the smallest value."""
        return self.at(model, self.smallest(model))

    def largest(self, model: ModelConfig) -> int | None:
        """Return the largest value, given the other sizes; None if unbounded."""
        return self._variant(model).largest(self._field(model))

    def has_floor(self, model: ModelConfig) -> bool:
        """Whether another size sets its smallest value."""
        return isinstance(self._field(model).smallest, str)

    def ceiling(self, model: ModelConfig) -> "ModelSize | None":
        """Return the size that sets its largest value, if any."""
        name = self._field(model).largest
        return next((s for s in sizes_of(model) if (s.block, s.name) == (self.block, name)), None)

    def _variant(self, model: ModelConfig) -> Variant:
        return model.attention if self.block == "attention" else model.feedforward

    def _field(self, model: ModelConfig) -> SizeField:
        field = self._variant(model).size_field(self.name)
        assert field is not None, f"the {self.block} has no {self.name}"
        return field


def sizes_of(model: ModelConfig) -> list[ModelSize]:
    """Return all sizes of a model, attention's first."""
    variants: tuple[Variant, ...] = (model.attention, model.feedforward)
    return [
        ModelSize(field.label or field.name, variant.block, field.name)
        for variant in variants
        for field in variant.sizes
    ]


def matchable_sizes_of(model: ModelConfig) -> list[ModelSize]:
    """Return the sizes of a model that a budget may set."""
    return [size for size in sizes_of(model) if size._field(model).is_matchable]


def find_size(model: ModelConfig, label: str) -> ModelSize | None:
    """Return the size of a model with this label; None if it has none."""
    return next((size for size in sizes_of(model) if size.label == label), None)


def largest_that_fits(
    size: ModelSize, model: ModelConfig, fits: Callable[[ModelConfig], bool], near: int = 0
) -> ModelConfig | None:
    """Return the model with the largest value of a size at which it fits, by bisection.

    Args:
        size: The size to vary.
        model: All other sizes; its value of the varied size is ignored.
        fits: Whether a model fits; must be monotonic: if a value fits, so do all smaller ones. If
            the size is unbounded, some value must be too large.
        near: Starting value, which saves calls of `fits` and does not change the result.

    Returns:
        The model; None if it does not fit even at the smallest value.
    """
    smallest, step, largest = (
        size.smallest(model),
        size.step(model),
        size.largest(model),
    )

    def at(index: int) -> ModelConfig:
        return size.at(model, smallest + index * step)

    def fits_at(index: int) -> bool:
        is_allowed = largest is None or smallest + index * step <= largest
        return is_allowed and fits(at(index))

    if not fits_at(0):
        return None
    low, high, reach = 0, max(1, (near - smallest) // step), 1
    if fits_at(high):
        while fits_at(high):
            low, high, reach = high, high + reach, 2 * reach
    else:
        while high > reach and not fits_at(high - reach):
            high, reach = high - reach, 2 * reach
        low = max(0, high - reach)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_at(middle) else (low, middle)
    return at(low)
