"""Base class of all configuration and record schemas."""

from collections.abc import Iterator
from typing import Any, ForwardRef, get_args

from pydantic import BaseModel, ConfigDict

_classes: list[type["FrozenModel"]] = []


class FrozenModel(BaseModel):
    """Pydantic model that is immutable and strict about types and keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Collect every class in definition order, so that nested ones are rebuilt first."""
        _classes.append(cls)


def rebuild_schemas() -> None:
    """Rebuild the schemas that hold variants or objectives, after new ones were registered."""
    known: dict[type[FrozenModel], bool] = {}
    for schema in list(_classes):
        if _makes_choices(schema, known):
            schema.model_rebuild(force=True)


def _makes_choices(schema: type[FrozenModel], known: dict[type[FrozenModel], bool]) -> bool:
    """Return whether a field, or one of a nested class, has an annotation with a schema of its own.

    Only those change: `switchhead_lab.variants.registry.OneOf` asks which classes there are.
    """
    if schema not in known:
        known[schema] = False  # while its fields are looked at, for classes that contain themselves
        known[schema] = any(
            _makes_choices(part, known)
            if isinstance(part, type) and issubclass(part, FrozenModel)
            else isinstance(part, ForwardRef) or _has_own_schema(part)
            for field in schema.model_fields.values()
            for part in (*_parts_of(field.annotation), *field.metadata)
        )
    return known[schema]


def _parts_of(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts_of(part)


def _has_own_schema(part: Any) -> bool:
    return not isinstance(part, type) and hasattr(part, "__get_pydantic_core_schema__")
