"""The base of every configuration class."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of every configuration class: immutable, strict about types and about keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
