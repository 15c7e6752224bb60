"""Base classes of variants: fields, sizes, parameter counts and costs of one block."""

import pkgutil
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from switchhead_lab.errors import UndefinedCostError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants.positions import Positions

Block = Literal["attention", "feedforward"]
Phase = Literal["training", "inference"]
Gate = Literal["sigmoid", "softmax"]
PROJECTION_NAMES = {"q": "query", "k": "key", "v": "value", "o": "output"}


@dataclass(frozen=True)
class LayerSizes:
    """The sizes around a block that its parameters and costs depend on.

    Attributes:
        d_model: Residual width (D).
        seq_len: Length of the active chunk in tokens (T).
        context_multiple: Chunks of context including the active one (C).
        positions: Position encoding.
    """

    d_model: int
    seq_len: int
    context_multiple: int
    positions: Positions


@dataclass(frozen=True)
class Cost:
    """Cost of one block for one sequence.

    Attributes:
        macs: Multiply-accumulates of the forward pass.
        saved_floats: Floats saved for the backward pass.
    """

    macs: int
    saved_floats: int


@dataclass(frozen=True)
class Experts:
    """Experts of a block.

    Attributes:
        n_experts: Experts per head, or in the block.
        n_chosen: Experts chosen per token.
        width: Width of each expert.
    """

    n_experts: int
    n_chosen: int
    width: int


@dataclass(frozen=True)
class SizeField:
    """A field that sets the size of a block, and its allowed values.

    Attributes:
        name: Name of the field.
        label: Name in sweeps and messages, if it differs.
        step: Difference between neighbouring values, or the field that holds it.
        smallest: Smallest value, or the field that holds it.
        largest: Field that holds the largest value; empty if unbounded.
        is_matchable: Whether a budget may set it.
        executed_step: Increase that is sure to raise the executed costs.
    """

    name: str
    label: str = ""
    step: int | str = 1
    smallest: int | str = 1
    largest: str = ""
    is_matchable: bool = True
    executed_step: int = 1


class Variant(FrozenModel):
    """One block of a layer; subclasses add a literal `kind` and their own fields.

    Class attributes:
        block: Which block of a layer it is.
        family: Name in figures; empty for the dense feed-forward, which figures do not name.
        sizes: Fields that set its size.
        conventions: Accounting conventions with a formula for it.
        exact_conventions: The conventions whose MACs equal the executed ones if every size is a
            multiple of its `executed_step`.
        module: Module that computes it, as "package.module:Class".

    Fields named `p_..._dropout` or `p_dropout` are probabilities of dropout, and fields named
    `..._coefficient` weights of auxiliary losses: the contract checks rely on these names.
    """

    block: ClassVar[Block]
    family: ClassVar[str]
    sizes: ClassVar[tuple[SizeField, ...]]
    conventions: ClassVar[tuple[str, ...]]
    exact_conventions: ClassVar[tuple[str, ...]] = ()
    module: ClassVar[str]

    kind: str

    @abstractmethod
    def parameter_parts(self, layer: LayerSizes) -> dict[str, int]:
        """Count the parameters of one block by their name in the module."""

    @abstractmethod
    def forward_cost(self, layer: LayerSizes, convention: str) -> Cost:
        """Return the cost of one block for one sequence in training, by one of its conventions."""

    def cost(self, layer: LayerSizes, convention: str, phase: Phase = "training") -> Cost:
        """Return the cost of one block for one sequence.

        Args:
            layer: Sizes around the block.
            convention: Accounting convention.
            phase: In inference, nothing is saved for a backward pass.

        Raises:
            UndefinedCostError: If the convention has no formula for this variant.
        """
        if convention not in self.conventions:
            known = ", ".join((*self.conventions, "executed"))
            raise UndefinedCostError(
                f'convention "{convention}" has no formula for {self.kind} {self.block}; '
                f"use {known}"
            )
        cost = self.forward_cost(layer, convention)
        return cost if phase == "training" else Cost(cost.macs, saved_floats=0)

    def active_parameters(self, layer: LayerSizes) -> int:
        """Count the parameters active per token: its chosen experts and all non-expert ones."""
        parts, experts = self.parameter_parts(layer), self.experts
        if experts is not None:
            for name in self.expert_parts():
                parts[name] = parts[name] // experts.n_experts * experts.n_chosen
        return sum(parts.values())

    def approximate_macs(self, layer: LayerSizes) -> int:
        """Return an estimate of the MACs of one sequence, for time estimates."""
        if self.conventions:
            return self.forward_cost(layer, self.conventions[0]).macs
        return layer.seq_len * self.active_parameters(layer)

    @property
    def experts(self) -> Experts | None:
        """Its experts; None without any."""
        return None

    def expert_parts(self) -> tuple[str, ...]:
        """Return the names of the parameter parts that consist of experts."""
        return ()

    def build(self, *arguments: Any) -> Any:
        """Build the module that computes the block, from the variant and the given arguments."""
        return pkgutil.resolve_name(self.module)(self, *arguments)

    @classmethod
    def examples(cls) -> Sequence[Self]:
        """Return small configurations to check the contract with.

        None by default: they are then derived from the fields (`examples.examples_of`). Override
        this if that is impossible or leaves code untested.
        """
        return ()

    @classmethod
    def size_field(cls, name: str) -> SizeField | None:
        """Return one of the size fields by its name."""
        return next((field for field in cls.sizes if field.name == name), None)

    def smallest(self, field: SizeField) -> int:
        """Return the smallest value of a size field, given the other fields."""
        return self._value(field.smallest)

    def step(self, field: SizeField) -> int:
        """Return the difference between neighbouring values, given the other fields."""
        return self._value(field.step)

    def largest(self, field: SizeField) -> int | None:
        """Return the largest value of a size field, given the other fields; None if unbounded."""
        return self._value(field.largest) if field.largest else None

    def _value(self, bound: int | str) -> int:
        return bound if isinstance(bound, int) else int(getattr(self, bound))


class AttentionVariant(Variant):
    """An attention layer; built from the variant, the positions and d_model.

    Class attributes:
        keep_parameters_over: Sizes matched to the baseline's parameters, regardless of what the
            sweep matches.
    """

    block: ClassVar[Block] = "attention"
    keep_parameters_over: ClassVar[tuple[str, ...]] = ()

    n_heads: int
    d_head: int


class FeedForwardVariant(Variant):
    """A feed-forward block; built from the variant and d_model."""

    block: ClassVar[Block] = "feedforward"

    @property
    @abstractmethod
    def width(self) -> int:
        """Hidden width, summed over experts."""


def require_top_k_within_experts(top_k: int, n_experts: int) -> None:
    """Check that a token can choose `top_k` experts.

    Raises:
        ValueError: If `top_k` exceeds `n_experts`.
    """
    if top_k > n_experts:
        raise ValueError(f"top_k={top_k} but n_experts={n_experts}; use a top_k in 1..{n_experts}")
