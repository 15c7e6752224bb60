"""Base class of all configuration and record schemas."""

from typing import Any

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
    """Rebuild the schemas of all classes, after new variants or objectives were registered."""
    for schema in list(_classes):
        schema.model_rebuild(force=True)
