"""The base class of everything that is read from configuration files and records."""

from typing import Any

from pydantic import BaseModel, ConfigDict

_classes: list[type["FrozenModel"]] = []


class FrozenModel(BaseModel):
    """Pydantic model that is immutable and strict about types and keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Note every class in the order of definition, so that parts come before wholes."""
        _classes.append(cls)


def rebuild_schemas() -> None:
    """Build the schemas of all classes anew, after a choice of classes has grown."""
    for schema in list(_classes):
        schema.model_rebuild(force=True)
