"""Configuration files: reading and writing TOML, overrides, and errors that name the mistake."""

import copy
import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli
from pydantic import BaseModel, ValidationError

from switchhead_lab.config.fields import follow, takes_text
from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.errors import ConfigError, reason_of

ModelT = TypeVar("ModelT", bound=BaseModel)
Tree = dict[str, Any]
_MAX_DEPTH = 32
_MAX_INTEGER = 2**63 - 1  # TOML's own range
_MAX_SHOWN = 60
_NOUNS = {"models": "model", "studies": "study", "claims": "claim"}
# The line that `lab match --toml` writes above each configuration.
_RUN_HEADING = re.compile(r"^# (.+) \([a-z]+\), seed \d+$", re.MULTILINE)


def read_toml(path: Path) -> Tree:
    """Read a TOML file; a byte order mark, which some editors write, is skipped.

    Raises:
        ConfigError: If the file is missing, not UTF-8 or not TOML, or holds numbers out of range
            or tables nested too deeply.
    """
    try:
        tree = tomli.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason_of(error)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: {_too_deep()}") from None
    except ValueError as error:  # thousands of digits, or a NUL byte in the path
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    _require_plain(tree, str(path))
    return tree


def run_heading(title: str, role: str, seed: int) -> str:
    """Return the comment line printed above a configuration."""
    return f"# {title} ({role}), seed {seed}"


def read_run_file(path: Path) -> Tree:
    """Read the configuration of one run.

    Raises:
        ConfigError: If the file cannot be read, or holds several configurations; the message names
            them.
    """
    try:
        return read_toml(path)
    except ConfigError:
        titles = _RUN_HEADING.findall(_lenient_text(path))
        if len(titles) < 2:
            raise
        raise ConfigError(
            f"{path}: holds {len(titles)} configurations ({', '.join(titles)}); give one, as "
            "`lab match NAME --toml --model MODEL` prints it"
        ) from None


def _lenient_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def to_toml(config: BaseModel) -> str:
    """Return a configuration as TOML that parses to an equal one."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def parse(schema: type[ModelT], values: Mapping[str, Any], source: str) -> ModelT:
    """Validate plain data against a schema.

    Args:
        schema: Configuration class.
        values: Plain data, as read from TOML.
        source: Name of the data in errors, usually a path.

    Raises:
        ConfigError: One line per mistake: source, field, value, what is allowed.
    """
    _require_plain(values, source)
    return _validated(schema, values, source)


def read_as(schema: type[ModelT], path: Path) -> ModelT:
    """Read a TOML file into a configuration class.

    Raises:
        ConfigError: As `read_toml` and `parse` do.
    """
    return _validated(schema, read_toml(path), str(path))


def _validated(schema: type[ModelT], values: Mapping[str, Any], source: str) -> ModelT:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [f"{source}: {_explain(schema, details, values)}" for details in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def apply_overrides(
    tree: Tree,
    overrides: Iterable[str],
    schema: type[BaseModel] | None = None,
    option: str = "--set",
) -> Tree:
    """Return a copy of `tree` with `a.b=c` assignments applied.

    Values are read as TOML (`8`, `0.1`, `true`, `[1, 2]`). Anything else is a string, and so is
    every value of a text field: a corpus may be named 2024.

    Args:
        tree: Plain data, as read from TOML.
        overrides: Assignments as given to the option.
        schema: Configuration class of the tree, which determines the text fields.
        option: The option, for errors.

    Raises:
        ConfigError: If an assignment has no `=` or descends into a value that is not a table.
    """
    result = copy.deepcopy(dict(tree))
    for assignment in overrides:
        path, separator, text = assignment.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(keys):
            example = "training.n_steps=10" if option == "--set" else "time=04:00:00"
            raise ConfigError(f"{option} {assignment}: write KEY.KEY=VALUE, e.g. {example}")
        value = _read_value(text.strip(), option)
        if schema is not None and not isinstance(value, str) and takes_text(schema, keys):
            value = text.strip()
        _assign(result, keys, value, f"{option} {assignment}")
    return result


def merge_trees(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Tree:
    """Return `base` updated with `overlay`, table by table.

    A table whose `kind` differs from the base's replaces it entirely, since its keys differ.
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
    steps = iter(keys[:-1])
    for key in steps:
        below = tree.setdefault(key, {})
        if isinstance(below, list):
            below = _entry_named(below, key, next(steps, ""), assignment)
        if not isinstance(below, dict):
            raise ConfigError(f'{assignment}: "{key}" is a value, not a table')
        tree = below
    tree[keys[-1]] = value


def _entry_named(entries: list[Any], key: str, name: str, assignment: str) -> Any:
    """Return the table with this name from a list, as in `models.NAME.n_heads=2`.

    Raises:
        ConfigError: If there is none.
    """
    known = {str(entry.get("name", "")): entry for entry in entries if isinstance(entry, dict)}
    if name not in known:
        names = [other for other in known if other]
        raise ConfigError(
            f'{assignment}: {key} has no entry named "{name}"{near_miss(name, names)}; '
            f"write {key}.NAME.KEY=VALUE with NAME one of: {', '.join(names) or 'none'}"
        )
    return known[name]


def _read_value(text: str, option: str) -> Any:
    try:
        tree = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        return text
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{option} {_shorten(text)}: {_too_deep()}, or a number too large"
        ) from None
    # Text of several lines may hold further keys.
    return tree["value"] if len(tree) == 1 else text


def _require_plain(values: Mapping[str, Any], source: str) -> None:
    """Reject values that TOML or the command line can hold but no field accepts.

    Later code relies on it: merging recurses, identities hash finite numbers, and records are
    UTF-8.

    Raises:
        ConfigError: If a value is nested too deeply, out of range or not UTF-8.
    """
    stack: list[tuple[tuple[Any, ...], Any]] = [((), values)]
    while stack:
        path, value = stack.pop()
        if len(path) > _MAX_DEPTH:
            raise ConfigError(f"{source}: {_shorten(_dotted(path))}: {_too_deep()}")
        if isinstance(value, str):
            if not _is_utf8(value):
                raise ConfigError(
                    f"{source}: {_dotted(path)} = {value!a}: not UTF-8; use UTF-8 text"
                )
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise ConfigError(f"{source}: {_dotted(path)} = {value}: use a finite number")
        elif isinstance(value, int):
            if abs(value) > _MAX_INTEGER:
                raise ConfigError(f"{source}: {_dotted(path)}: use an integer of at most 64 bits")
        elif isinstance(value, list):
            stack += [((*path, place), v) for place, v in enumerate(value)]
        elif isinstance(value, Mapping):
            stack += [((*path, key), v) for key, v in value.items()]


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep() -> str:
    return f"nested too deeply; use at most {_MAX_DEPTH} levels"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _explain(schema: type[BaseModel], details: Any, values: Mapping[str, Any]) -> str:
    _, path = follow(schema, details["loc"])
    entry = _entry_of(details["loc"], values)
    location = path + entry
    kind, value, message = details["type"], details["input"], details["msg"]
    if kind == "extra_forbidden":
        known, _ = follow(schema, details["loc"][:-1])
        name = str(details["loc"][-1])
        return (
            f'unknown key "{path}"{entry}{near_miss(name, known)}; known keys: {", ".join(known)}'
        )
    if kind == "missing":
        return f'"{path}"{entry} is missing; add it'
    if kind == "value_error":
        text = str(details["ctx"]["error"])
        return f"{location}: {text}" if location else text
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tags = details["ctx"].get("expected_tags", "one of the known kinds")
        given = f"kind {details['ctx']['tag']!r}" if "tag" in details["ctx"] else "no kind"
        return f"{location}: {given}; use {tags}, or name a plugin in lab.toml that has it"
    shown = _shorten(mask_passwords(repr(value)))  # before cutting an address
    return f"{path} = {shown}{entry}: {message[0].lower()}{message[1:]}"


def _entry_of(location: Iterable[Any], values: Any) -> str:
    """Return ` (model "NAME")` if a location is inside an entry of a list; else an empty string.

    Entries without a name are counted from 1: ` (entry 3 of models)`.
    """
    key, entry = "", ""
    for part in location:
        if isinstance(part, int) and isinstance(values, list) and part < len(values):
            values = values[part]
            if not isinstance(values, Mapping):
                return entry
            name, noun = values.get("name"), _NOUNS.get(key, key)
            entry = (
                f' ({noun} "{_shorten(str(name))}")' if name else f" (entry {part + 1} of {key})"
            )
        elif isinstance(values, Mapping) and part in values:
            key, values = str(part), values[part]
    return entry
