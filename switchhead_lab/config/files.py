"""Configuration files: TOML in, TOML out, overrides, and errors that name the mistake."""

import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BaseModel, ValidationError

from switchhead_lab.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)
Tree = dict[str, Any]


def read_toml(path: Path) -> Tree:
    """Read a TOML file.

    Raises:
        ConfigError: If the file is missing, not UTF-8 or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def to_toml(config: BaseModel) -> str:
    """Write a configuration as TOML that reads back to an equal one."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def parse(schema: type[ModelT], values: Mapping[str, Any], source: str) -> ModelT:
    """Validate plain data against a schema.

    Args:
        schema: Configuration class.
        values: Plain data, as read from TOML.
        source: What to call the data in errors, usually a path.

    Raises:
        ConfigError: One line per mistake: source, field, value, what is allowed.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [f"{source}: {_explain(schema, details)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def apply_overrides(tree: Tree, overrides: Iterable[str]) -> Tree:
    """Return a copy of `tree` with `a.b=c` assignments applied.

    The value is read as TOML (`8`, `0.1`, `true`, `[1, 2]`); anything else is taken as a string.

    Raises:
        ConfigError: If an assignment has no `=` or descends into a value that is no table.
    """
    result = merge_trees(tree, {})
    for assignment in overrides:
        path, separator, text = assignment.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(keys):
            raise ConfigError(f"--set {assignment}: write KEY.KEY=VALUE, e.g. training.n_steps=10")
        _assign(result, keys, _read_value(text.strip()), assignment)
    return result


def merge_trees(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Tree:
    """Return `base` with the keys of `overlay` replacing its own, table by table.

    A table whose `kind` differs from the base's replaces it whole, since its keys are other ones.
    """
    merged: Tree = {
        key: merge_trees(value, {}) if isinstance(value, Mapping) else value
        for key, value in base.items()
    }
    for key, value in overlay.items():
        old = merged.get(key)
        if isinstance(value, Mapping):
            compatible = isinstance(old, dict) and old.get("kind") == value.get(
                "kind", old.get("kind")
            )
            merged[key] = merge_trees(old if compatible and old else {}, value)
        else:
            merged[key] = value
    return merged


def near_miss(name: str, known: Sequence[str]) -> str:
    """Return ` (did you mean "x"?)` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _assign(tree: Tree, keys: list[str], value: Any, assignment: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f'--set {assignment}: "{key}" is a value, not a table')
    tree[keys[-1]] = value


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(schema: type[BaseModel], details: Any) -> str:
    _, location = _follow(schema, details["loc"])
    kind, value, message = details["type"], details["input"], details["msg"]
    if kind == "extra_forbidden":
        known, _ = _follow(schema, details["loc"][:-1])
        name = str(details["loc"][-1])
        return f'unknown key "{location}"{near_miss(name, known)}; known keys: {", ".join(known)}'
    if kind == "missing":
        return f'"{location}" is missing; add it'
    if kind == "value_error":
        text = str(details["ctx"]["error"])
        return f"{location}: {text}" if location else text
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tags = details["ctx"].get("expected_tags", "one of the known kinds")
        given = f"kind {details['ctx']['tag']!r}" if "tag" in details["ctx"] else "no kind"
        return f"{location}: {given}; use {tags}"
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{location} = {shown}: {message[0].lower()}{message[1:]}"


def _follow(schema: type[BaseModel], location: Iterable[Any]) -> tuple[list[str], str]:
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


def _classes_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (Union, types.UnionType, Annotated, list):
        return [c for part in typing.get_args(annotation) for c in _classes_in(part)]
    return []


def _kind_of(schema: type[BaseModel]) -> str | None:
    field = schema.model_fields.get("kind")
    if field is None or typing.get_origin(field.annotation) is not Literal:
        return None
    return str(typing.get_args(field.annotation)[0])
