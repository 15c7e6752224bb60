"""Reading the small files of a record; errors name the file."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from switchhead_lab.errors import RecordError, reason_of
from switchhead_lab.frozen_model import FrozenModel

ModelT = TypeVar("ModelT", bound=FrozenModel)


def read_model(schema: type[ModelT], path: Path) -> ModelT:
    """Read a JSON file into a schema class.

    Raises:
        RecordError: If the file is missing or damaged.
    """
    try:
        return schema.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path}: missing; the run directory is incomplete") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        what = f"{field}: {first['msg']}" if field else first["msg"]
        raise RecordError(f"{path}: damaged: {what}; restore it, or move its folder away") from None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RecordError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: missing; the run directory is incomplete") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise RecordError(f"{path}: damaged: {error}") from None


def is_there(path: Path) -> bool:
    """Return whether a file exists.

    Raises:
        RecordError: If this user lacks permission to check.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> RecordError:
    """Return the error for a file that cannot be read."""
    reason = f"{path}: cannot be read: {reason_of(error)}"
    if isinstance(error, PermissionError):
        reason += f"; have its owner run `chmod -R g+rwX {path.parent}`"
    return RecordError(reason)
