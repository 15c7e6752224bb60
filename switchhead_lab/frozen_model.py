"""The base class of everything that is read from configuration files and records."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Pydantic model that is immutable and strict about types and keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
