"""Small configurations of a variant for checking its contract."""

import math
import typing
from typing import Any, Literal

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from switchhead_lab.errors import ConfigError
from switchhead_lab.variants.base import Variant

# Odd, so that nothing is aligned by chance; above one, so that swapped indices show.
_SMALL_WIDTH, _SMALL_COUNT = 5, 2
_SMALL_COEFFICIENT = 0.1


def examples_of(variant: type[Variant]) -> list[Variant]:
    """Return a variant's own examples, or else examples derived from its fields.

    Derived examples: one with small sizes and all defaults; one for every other value of each
    boolean or literal field, if valid; one with all auxiliary losses, if there are any.

    Args:
        variant: Class of the variant; it need not be registered.

    Raises:
        ConfigError: If the class has none and none can be derived from its fields.
    """
    own: list[Variant] = list(variant.examples())
    return own or _derive(variant)


def describe(variant: Variant) -> str:
    """Return the non-default fields of an example, for messages."""
    values = variant.model_dump(exclude_defaults=True, exclude={"kind"})
    return " ".join(f"{name}={value}" for name, value in values.items())


def validation_message(error: ValidationError) -> str:
    """Return the first message of a validation error, as the variant wrote it."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _derive(variant: type[Variant]) -> list[Variant]:
    values = {
        name: _small_value(variant, name)
        for name, field in variant.model_fields.items()
        if variant.size_field(name) is not None or field.is_required()
    }
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        raise ConfigError(
            f"no example value can be derived for {', '.join(lacking)}; define the class method "
            "examples()"
        )
    try:
        base = variant.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"no example can be derived from the fields, tried {values}: "
            f"{validation_message(error)}; define the class method examples()"
        ) from None
    others = [
        {name: choice}
        for name, field in variant.model_fields.items()
        if name != "kind"
        for choice in _choices(field)
        if choice != getattr(base, name)
    ]
    losses = [name for name in variant.model_fields if name.endswith("_coefficient")]
    if losses:
        others.append(dict.fromkeys(losses, _SMALL_COEFFICIENT))
    return [base, *_valid(base, others)]


def _valid(base: Variant, changes: list[dict[str, Any]]) -> list[Variant]:
    """Return the changed variants that are valid."""
    found = []
    for change in changes:
        try:
            found.append(type(base).model_validate({**base.model_dump(), **change}))
        except ValidationError:
            continue
    return found


def _small_value(variant: type[Variant], name: str) -> Any:
    """Return a small value of a field, above the smallest of a size; None if unknown."""
    size, field = variant.size_field(name), variant.model_fields[name]
    if size is None:
        if field.annotation is int:
            return _SMALL_COUNT
        return next(iter(_choices(field)), None)
    smallest, step = (
        _small_value(variant, bound) if isinstance(bound, str) else bound
        for bound in (size.smallest, size.step)
    )
    wanted = _SMALL_WIDTH if name.startswith("d_") else _SMALL_COUNT
    return smallest + step * max(1, math.ceil((wanted - smallest) / step))


def _choices(field: FieldInfo) -> tuple[Any, ...]:
    """Return all values of a boolean or literal field; empty for others."""
    if field.annotation is bool:
        return (False, True)
    return (
        typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
    )
