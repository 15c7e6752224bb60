"""The sizes of a model that a budget can set, and the values that each may take."""

from collections.abc import Callable
from dataclasses import dataclass

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.variants.base import Block, SizeField, Variant


@dataclass(frozen=True)
class ModelSize:
    """One size of a model: a field of its attention or of its feed-forward block.

    Attributes:
        label: Name in sweeps and messages.
        block: Where it belongs.
        name: Name of the field.
    """

    label: str
    block: Block
    name: str

    def value(self, model: ModelConfig) -> int:
        """Return its value."""
        return int(getattr(self._variant(model), self.name))

    def at(self, model: ModelConfig, value: int) -> ModelConfig:
        """Return the model with another value, which must be one that it may take."""
        variant = self._variant(model).model_copy(update={self.name: value})
        return model.model_copy(update={self.block: variant})

    def step(self, model: ModelConfig) -> int:
        """Return the difference between two neighbouring values."""
        return self._variant(model).step(self._field(model))

    def executed_step(self, model: ModelConfig) -> int:
        """Return a difference after which the executed costs are sure to grow."""
        return self._field(model).executed_step

    def smallest(self, model: ModelConfig) -> int:
        """Return the smallest value, the other sizes given."""
        return self._variant(model).smallest(self._field(model))

    def at_smallest(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the smallest value."""
        return self.at(model, self.smallest(model))

    def largest(self, model: ModelConfig) -> int | None:
        """Return the largest value, the other sizes given; None without a largest."""
        return self._variant(model).largest(self._field(model))

    def has_floor(self, model: ModelConfig) -> bool:
        """Whether its smallest value is that of another size."""
        return isinstance(self._field(model).smallest, str)

    def ceiling(self, model: ModelConfig) -> "ModelSize | None":
        """Return the size whose value is its largest, if there is one."""
        name = self._field(model).largest
        return next((s for s in sizes_of(model) if (s.block, s.name) == (self.block, name)), None)

    def _variant(self, model: ModelConfig) -> Variant:
        return model.attention if self.block == "attention" else model.feedforward

    def _field(self, model: ModelConfig) -> SizeField:
        field = self._variant(model).size_field(self.name)
        assert field is not None, f"the {self.block} has no {self.name}"
        return field


def sizes_of(model: ModelConfig) -> list[ModelSize]:
    """Return all sizes of a model, those of attention first."""
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
        size: What to vary.
        model: Everything else; its own value of the size does not matter.
        fits: Whether a model fits; if one does, all with smaller values must. Where the size has no
            largest value, some value must be too large.
        near: Value to search around, which saves calls of `fits`; it changes no result.

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
