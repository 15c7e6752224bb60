"""Following dotted keys through a schema: which classes and fields they lead to."""

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel

_UNIONS = (Union, types.UnionType)


def follow(schema: type[BaseModel], location: Iterable[Any]) -> tuple[list[str], str]:
    """Follow pydantic's path through a schema.

    Returns:
        The field names of the class it leads to, sorted, and the path as users write it: without
        the kinds that pydantic puts in where a field may be one of several classes.
    """
    candidates: list[Any] = [schema]
    written: list[str] = []
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            if part in candidate.model_fields:
                annotation = candidate.model_fields[part].annotation
                following.extend(_classes_in(annotation))
        tagged = [c for c in candidates if _kind_of(c) == part]
        if following or not tagged:
            written.append(str(part))
        if following or tagged:
            candidates = following or tagged
    names = {name for candidate in candidates for name in candidate.model_fields}
    return sorted(names), ".".join(written)


def takes_text(schema: type[BaseModel], keys: Sequence[str]) -> bool:
    """Say whether the field that dotted keys lead to holds text, in every class it may belong to.

    Args:
        schema: Configuration class to start from.
        keys: Names of fields, outermost first.
    """
    candidates: list[type[BaseModel]] = [schema]
    for key in keys[:-1]:
        fields = [c.model_fields[key] for c in candidates if key in c.model_fields]
        candidates = [found for field in fields for found in _classes_in(field.annotation)]
    annotations = [
        c.model_fields[keys[-1]].annotation for c in candidates if keys[-1] in c.model_fields
    ]
    return bool(annotations) and all(_is_text(annotation) for annotation in annotations)


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
    if typing.get_origin(annotation) in (*_UNIONS, Annotated, list):
        return [c for part in typing.get_args(annotation) for c in _classes_in(part)]
    return []


def _kind_of(schema: type[BaseModel]) -> str | None:
    field = schema.model_fields.get("kind")
    if field is None or typing.get_origin(field.annotation) is not Literal:
        return None
    return str(typing.get_args(field.annotation)[0])
