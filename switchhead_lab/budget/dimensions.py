"""The dimensions of a model that a budget can set, and the values each may take."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.config.architecture import (
    DenseAttention,
    MoaAttention,
    ModelConfig,
    SigmaMoeFeedForward,
    SwitchHeadAttention,
)
from switchhead_lab.config.sweep import FreeDimension

# The paper's rule for SwitchHead and MoA. Its dense models have any width (Table 9 has d_head 41
# and 205), and so have sigma-MoE experts: nothing takes up what their width leaves of the budget,
# and at a multiple of 4 up to 1.8 % of the 47M SwitchAll would be left.
_D_HEAD_MULTIPLE = 4


@dataclass(frozen=True)
class Dimension:
    """One dimension of attention or of the feed-forward block.

    Attributes:
        name: Name in sweeps and messages.
        block: Where it belongs.
        field: Name in the block's configuration.
    """

    name: str
    block: Literal["attention", "feedforward"]
    field: str

    def exists_in(self, model: ModelConfig) -> bool:
        """Tell whether the model's variants have this dimension."""
        return self.field in type(getattr(model, self.block)).model_fields

    def value(self, model: ModelConfig) -> int:
        """Return the dimension's value."""
        return int(getattr(getattr(model, self.block), self.field))

    def at(self, model: ModelConfig, value: int) -> ModelConfig:
        """Return the model with another value, which must be one that it may take."""
        block = getattr(model, self.block).model_copy(update={self.field: value})
        return model.model_copy(update={self.block: block})

    def step(self, model: ModelConfig) -> int:
        """Return what values are multiples of."""
        is_rounded = self.field == "d_head" and not isinstance(model.attention, DenseAttention)
        return _D_HEAD_MULTIPLE if is_rounded else 1

    def smallest(self, model: ModelConfig) -> int:
        """Return the smallest value: there are at least as many experts as a token picks."""
        if self.field != "n_experts":
            return self.step(model)
        match getattr(model, self.block):
            case SwitchHeadAttention(top_k=K) | SigmaMoeFeedForward(top_k=K):
                return K
            case MoaAttention(n_heads=H):
                return H
            case block:
                raise AssertionError(f"{block.kind} has no experts")

    def at_smallest(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the smallest value."""
        return self.at(model, self.smallest(model))

    def largest(self, model: ModelConfig) -> int | None:
        """Return the largest value, if there is one: a token picks at most all experts."""
        is_picked_head = self == N_HEADS and isinstance(model.attention, MoaAttention)
        if is_picked_head or self.field == "top_k":
            return int(getattr(model, self.block).n_experts)
        return None


D_HEAD = Dimension("d_head", "attention", "d_head")
N_HEADS = Dimension("n_heads", "attention", "n_heads")
N_EXPERTS = Dimension("n_experts", "attention", "n_experts")
TOP_K = Dimension("top_k", "attention", "top_k")
D_FF = Dimension("d_ff", "feedforward", "d_ff")
D_EXPERT = Dimension("d_expert", "feedforward", "d_expert")
FEEDFORWARD_N_EXPERTS = Dimension("feedforward.n_experts", "feedforward", "n_experts")
FEEDFORWARD_TOP_K = Dimension("feedforward.top_k", "feedforward", "top_k")

ALL_DIMENSIONS = (
    N_HEADS,
    N_EXPERTS,
    TOP_K,
    D_HEAD,
    FEEDFORWARD_N_EXPERTS,
    FEEDFORWARD_TOP_K,
    D_EXPERT,
    D_FF,
)
FREE_DIMENSIONS: dict[FreeDimension, Dimension] = {
    "d_head": D_HEAD,
    "n_heads": N_HEADS,
    "n_experts": N_EXPERTS,
    "d_ff": D_FF,
    "d_expert": D_EXPERT,
    "feedforward.n_experts": FEEDFORWARD_N_EXPERTS,
}


def largest_that_fits(
    dimension: Dimension, model: ModelConfig, fits: Callable[[ModelConfig], bool]
) -> ModelConfig | None:
    """Return the model with the largest value of a dimension at which it fits, by bisection.

    Args:
        dimension: What to vary.
        model: Everything else; its value of the dimension does not matter.
        fits: Whether a model fits; if one does, all with smaller values must. Where the dimension
            has no largest value, some value must be too large.

    Returns:
        The model; None if it does not fit even at the smallest value.
    """
    smallest, step, largest = (
        dimension.smallest(model),
        dimension.step(model),
        dimension.largest(model),
    )

    def at(index: int) -> ModelConfig:
        return dimension.at(model, smallest + index * step)

    def fits_at(index: int) -> bool:
        is_allowed = largest is None or smallest + index * step <= largest
        return is_allowed and fits(at(index))

    if not fits_at(0):
        return None
    low, high = 0, 1
    while fits_at(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits_at(middle) else (low, middle)
    return at(low)
