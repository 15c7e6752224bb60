"""Identity of configurations: canonical JSON and its hash."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel


def canonical_json(value: Any) -> str:
    """Return plain data as canonical JSON, which is hashed: sorted keys, no spaces, ASCII."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def hash_of(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of plain data in canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def identity(config: BaseModel) -> str:
    """Return the identity of a configuration: the hash of all its values, defaults included.

    Two files that resolve to the same values have the same identity, however they are written.
    """
    return hash_of(config.model_dump(mode="json"))
