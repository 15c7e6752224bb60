"""JSON output; infinity and NaN, which JSON lacks, become null."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any


def to_json(data: Any, *, ensure_ascii: bool = True) -> str:
    """Return plain data as indented JSON.

    Args:
        data: Mappings, sequences, strings, numbers, booleans and None.
        ensure_ascii: Escape non-ASCII characters.
    """
    dump = partial(json.dumps, indent=2, ensure_ascii=ensure_ascii, allow_nan=False)
    try:
        return dump(data)
    except (TypeError, ValueError):  # a mapping that is no dict, or a number that is not finite
        return dump(_finite(data))


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data
