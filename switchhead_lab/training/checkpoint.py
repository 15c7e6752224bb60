"""Checkpoints: whole or absent, checked on load, free of code.

    checkpoints/step-00000200/tensors.safetensors
    checkpoints/step-00000200/checkpoint.json      step, counters, SHA-256 of the tensors

A checkpoint is made under a temporary name and renamed when complete.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.atomic import make_directory, sync_directory, write_text

_TENSORS, _MANIFEST = "tensors.safetensors", "checkpoint.json"
_N_KEPT = 2


@dataclass(frozen=True)
class Progress:
    """How far training is; with the tensors, all that a resumed run needs.

    Attributes:
        step: Optimiser steps done.
        tokens: Training tokens read, padding included.
        seconds: Wall time spent in steps so far.
        unlogged_loss_nats: Training loss summed over the targets since the last recorded point.
        unlogged_targets: Those targets.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    unlogged_loss_nats: float = 0.0
    unlogged_targets: int = 0


def save_checkpoint(directory: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint and drop all but the newest two.

    Args:
        directory: The run's checkpoint folder; made if missing.
        progress: How far training is.
        tensors: Everything that changes during training, by name.

    Returns:
        The checkpoint's folder.
    """
    make_directory(directory)
    final = directory / f"step-{progress.step:08d}"
    temporary = directory / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    path = temporary / _TENSORS
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    manifest = {**asdict(progress), "sha256": _sha256(path)}
    write_text(temporary / _MANIFEST, json.dumps(manifest, indent=2) + "\n")
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    sync_directory(directory)
    for old in _complete(directory)[:-_N_KEPT]:
        shutil.rmtree(old)
    return final


def load_latest(directory: Path) -> tuple[Progress, dict[str, Tensor]] | None:
    """Load the newest intact checkpoint, on the CPU; a damaged one is passed over with a warning.

    Returns:
        None where there is no checkpoint.
    """
    for path in reversed(_complete(directory)):
        try:
            return load_checkpoint(path)
        except RecordError as error:
            warnings.warn(f"{error}; taking the one before", stacklevel=2)
    return None


def load_checkpoint(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    """Load one checkpoint, on the CPU.

    Raises:
        RecordError: If its contents are not what was written.
    """
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        expected = manifest.pop("sha256")
        progress = Progress(**manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: checkpoint manifest damaged: {error}") from None
    if _sha256(path / _TENSORS) != expected:
        raise RecordError(f"{path}: checkpoint damaged: SHA-256 differs from its manifest")
    return progress, load_file(path / _TENSORS)


def _complete(directory: Path) -> list[Path]:
    return sorted(path.parent for path in directory.glob(f"step-*/{_MANIFEST}"))


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
