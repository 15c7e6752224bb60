"""Models as a sweep declares them: partial variants, whose open sizes follow from the budget.

The classes are generated from the registered variants, so that no field is declared twice.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.names import ModelName
from switchhead_lab.config.schema import SEARCHABLE_TRAINING, TrainingConfig
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants import builtin  # noqa: F401 (registers the built-in ones)
from switchhead_lab.variants.base import (
    AttentionVariant,
    Variant,
)
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.positions import PositionsConfig
from switchhead_lab.variants.registry import OneOf, variants_of

MatchBy = Literal["parameters", "macs:equations", "macs:published", "macs:executed"]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
RunOrModel = Annotated[str, Field(min_length=1)]
DEFAULT_SIZE = "d_head"
"""Label of the size that follows from the budget if `match_over` is omitted."""


def shared_training(name: str) -> str:
    """Return why a field of training cannot differ between models; empty if it can, or is unknown.

    Args:
        name: Name of the field, without or with `training.` before it.
    """
    name = name.removeprefix("training.")
    if name not in TrainingConfig.model_fields or name in SEARCHABLE_TRAINING:
        return ""
    return " is the same for all models of a sweep, so that they are compared fairly"


class PartialVariant(FrozenModel):
    """A variant in which a size may be omitted, because it follows from the budget."""

    variant: ClassVar[type[Variant]]

    kind: str
    """Kind of the variant."""

    @property
    def sizes(self) -> dict[str, int | None]:
        """The sizes that a budget may set, by label; None if open."""
        return {
            field.label or field.name: getattr(self, field.name)
            for field in self.variant.sizes
            if field.is_matchable
        }

    def complete(self) -> Variant:
        """Return the variant with a valid placeholder for every open size.

        Raises:
            ValueError: If the given fields contradict each other.
        """
        given = {
            name: getattr(self, name)
            for name in self.variant.model_fields
            if getattr(self, name) is not None
        }
        # A size bounded by another one comes after it.
        for field in sorted(self.variant.sizes, key=lambda f: isinstance(f.smallest, str)):
            if field.name not in given:
                smallest = field.smallest
                given[field.name] = smallest if isinstance(smallest, int) else given[smallest]
        try:
            return self.variant.model_validate(given)
        except ValidationError as error:  # fields that contradict each other
            raise ValueError(str(error.errors()[0]["ctx"]["error"])) from None


@cache
def _partial(variant: type[Variant], base: Any) -> Any:
    """Return the partial class of a variant, in which matchable sizes are optional."""
    fields: dict[str, Any] = {}
    for name, field in variant.model_fields.items():
        size = variant.size_field(name)
        may_follow = size is not None and size.is_matchable
        fields[name] = _optional(field) if may_follow else (field.annotation, field)
    made = create_model(
        f"Partial{variant.__name__}", __base__=base, __doc__=variant.__doc__, **fields
    )
    setattr(made, "variant", variant)  # noqa: B010 (mypy cannot know)
    return made


def _optional(field: FieldInfo) -> tuple[Any, FieldInfo]:
    annotation: Any = Annotated[field.annotation, *field.metadata]
    return (
        annotation | None,
        FieldInfo(default=None, exclude_if=lambda value: value is None),
    )


class PartialFeedForward(PartialVariant):
    """A feed-forward block in which a size may follow from the budget."""

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        self.complete()
        return self


def partial_feedforwards() -> Mapping[str, type[PartialFeedForward]]:
    """Return the partial classes of all feed-forward variants except the baseline's, by kind."""
    return {
        kind: _partial(variant, PartialFeedForward)
        for kind, variant in variants_of("feedforward").items()
        if variant is not DenseFeedForward
    }


class DeclaredModel(PartialVariant):
    """A declared model; subclasses have the fields of an attention variant.

    Every size is required except the one that `match_over` names. Two more may follow from the
    budget: d_ff of a dense feed-forward, which absorbs the parameters that attention leaves, and
    d_head if another feed-forward is matched and d_head is omitted (attention is matched first).
    """

    name: ModelName
    """Name in tables and run names."""
    seeds: Seeds = [0]
    """One run per seed."""
    match_over: str = Field(default=DEFAULT_SIZE, exclude_if=lambda label: label == DEFAULT_SIZE)
    """The size that follows from the baseline's budget. A size of attention matches the budget of
    attention; a size of the feed-forward matches that of both blocks together."""
    match_by: MatchBy | None = Field(default=None, exclude_if=lambda rule: rule is None)
    """Budget of this model instead of the sweep's: "parameters", or "macs:" and a convention."""
    feedforward: Annotated[PartialFeedForward, OneOf(partial_feedforwards)] | None = None
    """Feed-forward instead of the dense one; omit to keep the dense one, matched."""
    positions: PositionsConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Position encoding instead of the sweep's."""
    training: dict[str, int | float] = Field(default={}, exclude_if=lambda fields: not fields)
    """Fields of training that override the sweep's; reports name them."""
    initial_weights: RunOrModel | None = Field(default=None, exclude_if=lambda name: name is None)
    """Run or model of the sweep whose weights it starts from. A model is trained first; its run of
    the same seed is used, or its only one."""

    @property
    def attention(self) -> AttentionVariant:
        """The attention with a valid placeholder for every open size."""
        attention = self.complete()
        assert isinstance(attention, AttentionVariant)
        return attention

    @property
    def variants(self) -> list[type[Variant]]:
        """The variants that it declares."""
        return [self.variant, *([self.feedforward.variant] if self.feedforward else [])]

    @property
    def open_in_attention(self) -> str | None:
        """Label of the attention size that follows from the budget; None if all are given."""
        return next((label for label, value in self.sizes.items() if value is None), None)

    @model_validator(mode="after")
    def _training_fields_are_searchable(self) -> Self:
        for name in self.training:
            if name not in SEARCHABLE_TRAINING:
                known = list(SEARCHABLE_TRAINING)
                reason = shared_training(name) or near_miss(name, known)
                raise ValueError(
                    f"training.{name}{reason}: a model of a sweep may override {', '.join(known)}"
                )
        return self

    @model_validator(mode="after")
    def _one_size_follows(self) -> Self:
        free = self.match_over
        in_feedforward = {"d_ff": None} if self.feedforward is None else self.feedforward.sizes
        known = {**self.sizes, **in_feedforward}
        if free not in known:
            *others, last = known
            raise ValueError(
                f'match_over="{free}" but the model has no {free}: its attention is {self.kind}, '
                f"its feed-forward {self.feedforward.kind if self.feedforward else 'dense'}; use "
                f"{', '.join(others)} or {last}"
            )
        if known[free] is not None:
            raise ValueError(
                f'{free}={known[free]} but match_over="{free}": {free} follows from the budget; '
                "remove it, or name another size in match_over"
            )
        may_follow = {free}
        if self.feedforward is None:
            may_follow.add("d_ff")
        elif free in in_feedforward:
            may_follow.add(DEFAULT_SIZE)
        for label, value in known.items():
            if value is None and label not in may_follow:
                raise ValueError(
                    f'{label} is missing: with match_over="{free}" only {free} follows from the '
                    f"budget; add {label}"
                )
        self.complete()
        return self


def declared_models() -> Mapping[str, type[DeclaredModel]]:
    """Return the classes of declared models by the kind of their attention."""
    return {
        kind: _partial(variant, DeclaredModel) for kind, variant in variants_of("attention").items()
    }
