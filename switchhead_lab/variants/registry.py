"""Registry of variants by block and kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from switchhead_lab.errors import ConfigError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants.base import (
    AttentionVariant,
    Block,
    FeedForwardVariant,
    Variant,
)

VariantT = TypeVar("VariantT", bound=Variant)
_BASES: dict[str, Any] = {
    "attention": AttentionVariant,
    "feedforward": FeedForwardVariant,
}
_known: dict[Block, dict[str, type[Variant]]] = {"attention": {}, "feedforward": {}}


def register(variant: type[VariantT]) -> type[VariantT]:
    """Register a variant under its kind; a class decorator.

    Raises:
        ConfigError: If the class is not a variant, lacks an attribute, or its kind is taken.
    """
    _require_variant(variant)
    add_kind(_known[variant.block], variant, variant.block)
    return variant


def variants_of(block: Block) -> Mapping[str, type[Variant]]:
    """Return the registered variants of a block by kind."""
    return _known[block]


def all_variants() -> list[type[Variant]]:
    """Return all registered variants."""
    return [variant for known in _known.values() for variant in known.values()]


def variants_of_kind(kind: str) -> list[type[Variant]]:
    """Return the variants of a kind: an attention, a feed-forward, or one of each.

    Raises:
        ConfigError: If there is none.
    """
    found = [known[kind] for known in _known.values() if kind in known]
    if not found:
        kinds = "; ".join(f"{block}: {', '.join(sorted(known))}" for block, known in _known.items())
        raise ConfigError(
            f'there is no variant of kind "{kind}"; use one of {kinds}, or name a plugin in '
            "lab.toml that has it"
        )
    return found


def unregister(module: str) -> None:
    """Remove the variants that a module registered."""
    for known in _known.values():
        remove_kinds(known, module)


def kind_of(schema: type[FrozenModel]) -> str:
    """Return the kind of a configuration class."""
    return str(get_args(schema.model_fields["kind"].annotation)[0])


def add_kind(known: dict[str, Any], schema: type[FrozenModel], what: str) -> None:
    """Register a class under its kind; importing its module again replaces it.

    Args:
        known: Classes of one base by kind.
        schema: The class.
        what: What the class is, for the error.

    Raises:
        ConfigError: If the class declares no kind, or another class has it.
    """
    if not get_args(schema.model_fields["kind"].annotation):
        raise ConfigError(f'{schema.__name__}: declare its kind, as in `kind: Literal["mine"]`')
    kind = kind_of(schema)
    other = known.get(kind)
    if other is not None and _origin(other) != _origin(schema):
        raise ConfigError(
            f'{schema.__name__}: {what} of kind "{kind}" is already registered, by '
            f"{_origin(other)}; choose another kind"
        )
    known[kind] = schema


def remove_kinds(known: dict[str, Any], module: str) -> None:
    """Remove the classes that a module added."""
    for kind in [kind for kind, schema in known.items() if schema.__module__ == module]:
        del known[kind]


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field that holds one of several classes; `kind` selects which.

    Attributes:
        classes: Returns the classes by kind; called whenever a schema is built.
        default: Kind if none is given; empty if it is required.
    """

    classes: Callable[[], Mapping[str, type[FrozenModel]]]
    default: str = ""

    def __get_pydantic_core_schema__(
        self, _source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices = {kind: handler.generate_schema(schema) for kind, schema in self.classes().items()}
        discriminator = self._kind_of if self.default else "kind"
        return core_schema.tagged_union_schema(choices, discriminator=discriminator)

    def _kind_of(self, values: Any) -> str:
        if isinstance(values, dict):
            return str(values.get("kind", self.default))
        return str(getattr(values, "kind", self.default))


def any_of(block: Block) -> OneOf:
    """Return the annotation of a field that holds any registered variant of a block."""
    return OneOf(lambda: variants_of(block))


def _origin(schema: type[FrozenModel]) -> str:
    return f"{schema.__module__}.{schema.__qualname__}"


def _require_variant(variant: type[Variant]) -> None:
    base = _BASES.get(getattr(variant, "block", ""))
    if base is None or not issubclass(variant, base):
        raise ConfigError(
            f"{variant.__name__}: derive it from AttentionVariant or FeedForwardVariant"
        )
    lacking = sorted(variant.__abstractmethods__)
    lacking += [
        name
        for name in ("family", "sizes", "conventions", "module")
        if not hasattr(variant, name) and not (name == "module" and "build" in vars(variant))
    ]
    if lacking:
        raise ConfigError(f"{variant.__name__}: lacks {', '.join(lacking)}")
    unknown = [field.name for field in variant.sizes if field.name not in variant.model_fields]
    if unknown:
        raise ConfigError(f"{variant.__name__}: sizes names unknown fields: {', '.join(unknown)}")
