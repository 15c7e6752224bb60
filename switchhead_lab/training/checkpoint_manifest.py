"""checkpoint.json: what a checkpoint holds, with the hashes that verify it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import RecordError
from switchhead_lab.frozen_model import FrozenModel

NAME = "checkpoint.json"
FORMAT, FORMAT_WITH_PARTS = 2, 3


@dataclass(frozen=True)
class Progress:
    """Progress of training; with the tensors, everything a resumed run needs.

    Attributes:
        step: Optimiser steps done.
        tokens: Training tokens read, padding included.
        seconds: Wall time spent in steps so far.
        unlogged_loss_nats: Training loss summed over the targets since the last recorded point.
        unlogged_targets: Number of those targets.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    unlogged_loss_nats: float = 0.0
    unlogged_targets: int = 0


class DamagedCheckpointError(RecordError):
    """A checkpoint is damaged or belongs to another run; an older one may still be usable."""


class Manifest(FrozenModel):
    """Contents of checkpoint.json; format 1 lacks some of the fields with defaults."""

    format: int = 1
    """Version of the layout on disk."""
    run_hash: str = ""
    """Identity of the run's configuration."""
    step: int = Field(ge=0)
    tokens: int = Field(ge=0)
    seconds: float = Field(ge=0.0, allow_inf_nan=False)
    unlogged_loss_nats: float = Field(default=0.0, allow_inf_nan=False)
    unlogged_targets: int = Field(default=0, ge=0)
    sha256: str
    """SHA-256 of the tensor file."""
    parts: dict[str, str] = {}
    """SHA-256 of each file of parts, by name."""
    manifest_sha256: str = ""
    """SHA-256 of all other fields, in canonical JSON."""

    @property
    def progress(self) -> Progress:
        """Progress at this checkpoint."""
        return Progress(**{field.name: getattr(self, field.name) for field in fields(Progress)})


def read_manifest(path: Path) -> Manifest:
    """Read and verify the manifest in a checkpoint's folder.

    Raises:
        DamagedCheckpointError: If it is damaged or of a later format.
        OSError: If it cannot be read.
    """
    try:
        contents = (path / NAME).read_bytes()
        values: dict[str, Any] = json.loads(contents)
        manifest = Manifest.model_validate_json(contents)
        has_hash = not {"format", "run_hash", "manifest_sha256"}.isdisjoint(values)
        others = {key: value for key, value in values.items() if key != "manifest_sha256"}
        is_intact = not has_hash or hash_of(others) == manifest.manifest_sha256
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(map(str, details["loc"]))
        raise _damaged(path, f"{place}: {details['msg']}" if place else details["msg"]) from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if manifest.format > FORMAT_WITH_PARTS:
        newest = FORMAT_WITH_PARTS
        raise _damaged(path, f"format {manifest.format} is newer than {newest}; update this code")
    if not is_intact:
        raise _damaged(path, "its SHA-256 differs")
    if path.name != f"step-{manifest.step:08d}":
        raise _damaged(path, f"step {manifest.step} differs from the folder's")
    return manifest


def _damaged(path: Path, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path / NAME}: checkpoint damaged: {reason}")
