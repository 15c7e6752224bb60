"""Schema lookup: the classes and fields that dotted keys lead to."""

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel

from switchhead_lab.variants.registry import OneOf

_UNIONS = (Union, types.UnionType)


def follow(schema: type[BaseModel], location: Iterable[Any]) -> tuple[list[str], str]:
    """Follow the location of a pydantic error through a schema.

    Returns:
        The sorted field names of the class it leads to, and the path as users write it: without
        the kinds that pydantic inserts where a field may be one of several classes.
    """
    candidates: list[type[BaseModel]] = [schema]
    written: list[str] = []
    for part in location:
        following = [c for found in _annotations(candidates, part) for c in _classes_in(found)]
        tagged = [c for c in candidates if _kind_of(c) == part]
        if following or not tagged:
            written.append(str(part))
        if following or tagged:
            candidates = following or tagged
    names = {name for candidate in candidates for name in candidate.model_fields}
    return sorted(names), ".".join(written)


def takes_text(schema: type[BaseModel], keys: Sequence[str]) -> bool:
    """Return whether dotted keys lead to a text field, in every class that may have it.

    Args:
        schema: Configuration class to start from.
        keys: Names of fields, outermost first.
    """
    candidates: list[type[BaseModel]] = [schema]
    for key in keys[:-1]:
        candidates = [c for found in _annotations(candidates, key) for c in _classes_in(found)]
    annotations = _annotations(candidates, keys[-1])
    return bool(annotations) and all(_is_text(annotation) for annotation in annotations)


def _annotations(candidates: Iterable[type[BaseModel]], name: Any) -> list[Any]:
    fields = [c.model_fields[name] for c in candidates if name in c.model_fields]
    return [
        Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        for field in fields
    ]


def _is_text(annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _is_text(arguments[0])
    if origin is Literal:
        return all(isinstance(value, str) for value in arguments)
    if origin in _UNIONS:
        return all(_is_text(part) for part in arguments if part is not type(None))
    return annotation is str


def _classes_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is Annotated:
        registered = [part for part in annotation.__metadata__ if isinstance(part, OneOf)]
        if registered:
            return list(registered[0].classes().values())
    if typing.get_origin(annotation) in (*_UNIONS, Annotated, list):
        return [c for part in typing.get_args(annotation) for c in _classes_in(part)]
    return []


def _kind_of(schema: type[BaseModel]) -> str | None:
    field = schema.model_fields.get("kind")
    if field is None or typing.get_origin(field.annotation) is not Literal:
        return None
    return str(typing.get_args(field.annotation)[0])
