"""Checkpoints: complete or absent, verified on load, never executed.

    checkpoints/step-00000200/tensors.safetensors
    checkpoints/step-00000200/shard-*.safetensors  what ranks hold in parts, if they do
    checkpoints/step-00000200/checkpoint.json      format, run, step, counters, SHA-256 of the
                                                   tensors and of the manifest itself

A checkpoint is written under a temporary name, synced to disk and renamed when complete.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import RecordError, TrainingError, reason_of
from switchhead_lab.tracking.atomic import (
    make_directory,
    remove_temporaries,
    reported,
    require_space,
    sync_directory,
    temporary_path,
    write_synced,
)
from switchhead_lab.training.checkpoint_manifest import (
    FORMAT,
    FORMAT_WITH_PARTS,
    DamagedCheckpointError,
    Progress,
    read_manifest,
)
from switchhead_lab.training.checkpoint_manifest import NAME as MANIFEST
from switchhead_lab.training.checkpoint_parts import read_parts, sync_parts

_TENSORS = "tensors.safetensors"
_N_KEPT = 2
_FOLDER = re.compile(r"step-(\d{8,})")
# Upper bounds: a tensor's entry in the header, without its name, and the manifest.
_HEADER_BYTES_PER_TENSOR, _MANIFEST_BYTES = 256, 4096


# Writes parts of a checkpoint into a folder, on all ranks.
WriteParts = Callable[[Path], None]

# Returns why a checkpoint does not fit the current run; empty if it does.
FaultOf = Callable[[Progress, Mapping[str, Tensor]], str]


def snapshot(step: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, so that training can continue while they are written.

    Args:
        step: Optimiser steps done.
        tensors: Everything that changes during training, by name.

    Raises:
        TrainingError: If a value is not finite.
    """
    copies = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    for name, tensor in copies.items():
        if not _is_finite(tensor):
            raise TrainingError(
                f"{name} is not finite after step {step}; no checkpoint was written; the "
                "previous one is kept. Try a lower learning_rate or more warm-up",
                cause="non-finite",
            )
    return copies


def save_checkpoint(
    directory: Path,
    progress: Progress,
    tensors: Mapping[str, Tensor],
    run_hash: str,
    write_parts: WriteParts | None = None,
) -> Path:
    """Write a checkpoint and delete all but the newest two.

    Args:
        directory: The run's checkpoint folder; created if missing.
        progress: Progress of training.
        tensors: What `snapshot` returned.
        run_hash: Identity of the run's configuration.
        write_parts: Writes what ranks hold in parts, if they do.

    Returns:
        The checkpoint's folder.

    Raises:
        StorageError: If the disk refuses the write; no partial checkpoint remains and earlier
            checkpoints are kept.
    """
    final = directory / f"step-{progress.step:08d}"
    temporary = temporary_path(final)
    n_bytes = sum(tensor.nbytes + len(name.encode()) for name, tensor in tensors.items())
    n_bytes += _HEADER_BYTES_PER_TENSOR * len(tensors) + _MANIFEST_BYTES
    if not directory.is_dir():
        make_directory(directory)
        sync_directory(directory.parent)
    require_space(final, n_bytes)
    try:
        with reported(final, n_bytes):
            temporary.mkdir()
            if write_parts is not None:
                write_parts(temporary)
            _write_contents(temporary, progress, tensors, run_hash)
            if final.is_dir():  # skipped when training resumed from an earlier one
                _remove(final)
            temporary.rename(final)
            sync_directory(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_old(directory, progress.step)
    return final


def load_latest(
    directory: Path, run_hash: str | None = None, fault_of: FaultOf | None = None
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Load the newest intact checkpoint onto the CPU; skip unusable ones with a warning.

    Args:
        directory: The run's checkpoint folder; may be missing.
        run_hash: Required identity of the run; None accepts any.
        fault_of: Returns why a checkpoint does not fit the current run.

    Returns:
        Progress and tensors by name; None if there is no usable checkpoint.

    Raises:
        RecordError: If this user lacks permission to read a checkpoint: it may be intact, and
            retraining would replace it.
    """
    paths = _complete(directory)
    while paths:
        path = paths.pop()
        try:
            progress, tensors = load_checkpoint(path, run_hash)
            fault = fault_of(progress, tensors) if fault_of is not None else ""
            if not fault:
                return progress, tensors
            reason = f"{path}: checkpoint does not fit this run: {fault}"
        except DamagedCheckpointError as error:
            reason = str(error)
        fallback = "using the previous one" if paths else "training starts from scratch"
        sys.stderr.write(f"warning: skipped: {' '.join(reason.split())}; {fallback}\n")
    return None


def load_checkpoint(path: Path, run_hash: str | None = None) -> tuple[Progress, dict[str, Tensor]]:
    """Load one checkpoint onto the CPU.

    Args:
        path: Its folder.
        run_hash: Required identity of the run; None accepts any.

    Raises:
        DamagedCheckpointError: If it is damaged or belongs to another run.
        RecordError: If this user lacks permission to read it.
    """
    try:
        manifest = read_manifest(path)
        if run_hash is not None and manifest.run_hash not in ("", run_hash):
            raise DamagedCheckpointError(
                f"{path}: checkpoint of another run ({manifest.run_hash[:16]}, this one is "
                f"{run_hash[:16]})"
            )
        for name, digest in {_TENSORS: manifest.sha256, **manifest.parts}.items():
            if _sha256(path / name) != digest:
                raise DamagedCheckpointError(
                    f"{path}: checkpoint damaged: SHA-256 of {name} differs from {MANIFEST}"
                )
        tensors = load_file(path / _TENSORS)
        if manifest.parts:
            tensors |= read_parts(path)
    except PermissionError as error:
        raise _unreadable(Path(error.filename or path)) from None
    except OSError as error:
        raise DamagedCheckpointError(
            f"{error.filename or path}: checkpoint damaged: {reason_of(error)}"
        ) from None
    except SafetensorError as error:
        raise DamagedCheckpointError(f"{path / _TENSORS}: checkpoint damaged: {error}") from None
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise DamagedCheckpointError(f"{path}: checkpoint damaged: {name} is not finite")
    return manifest.progress, tensors


def find_checkpoint(directory: Path, checkpoint: int | Literal["last"] = "last") -> Path:
    """Return the folder of one checkpoint, without reading it.

    Args:
        directory: The run's checkpoint folder; may be missing.
        checkpoint: Optimiser steps done, or "last" for the newest.

    Raises:
        RecordError: If it does not exist; the message lists those that do.
    """
    by_step = {_step_of(path): path for path in _complete(directory)}
    if checkpoint == "last" and by_step:
        return by_step[max(by_step)]
    if checkpoint != "last" and checkpoint in by_step:
        return by_step[checkpoint]
    steps = ", ".join(map(str, by_step))
    existing = f"available steps: {steps}" if by_step else "the run has none"
    wanted = "checkpoint" if checkpoint == "last" else f"checkpoint of step {checkpoint}"
    raise RecordError(f"{directory}: no {wanted}; {existing}")


def recorded_digest(checkpoint: Path) -> str:
    """Return the SHA-256 of a checkpoint's tensors, as recorded in its manifest.

    Of several files, it is the hash of their hashes.

    Raises:
        DamagedCheckpointError: If the manifest is damaged.
    """
    manifest = read_manifest(checkpoint)
    if not manifest.parts:
        return manifest.sha256
    return hash_of({_TENSORS: manifest.sha256, **manifest.parts})


def remove_leftovers(directory: Path) -> None:
    """Remove what killed saves left in a checkpoint folder that no other process uses.

    These are temporary folders, and checkpoint folders with tensors but no manifest.
    """
    remove_temporaries(directory, r"step-\d{8,}")
    for path in _folders(directory):
        names = {entry.name for entry in path.iterdir()} if os.access(path, os.R_OK) else {""}
        if names <= {_TENSORS}:
            shutil.rmtree(path, ignore_errors=True)


def _write_contents(
    folder: Path, progress: Progress, tensors: Mapping[str, Tensor], run_hash: str
) -> None:
    """Write and sync tensors and manifest.

    Raises:
        OSError: If the disk refuses the write.
    """
    path = folder / _TENSORS
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        # safetensors reports the system's error number only in the message.
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise OSError(errno.EIO, str(error), str(path)) from None
    path.chmod(mode)  # safetensors ignores the umask: only the owner could read the file
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sha256 = _sha256(path)
    values = {"format": FORMAT, "run_hash": run_hash, **asdict(progress), "sha256": sha256}
    if parts := {path.name: _sha256(path) for path in sync_parts(folder)}:
        values |= {"format": FORMAT_WITH_PARTS, "parts": parts}
    values["manifest_sha256"] = hash_of(values)
    write_synced(folder / MANIFEST, (json.dumps(values, indent=2) + "\n").encode())
    sync_directory(folder)


def _unreadable(path: Path) -> RecordError:
    return RecordError(
        f"{path}: cannot be read: Permission denied; have its owner run "
        f"`chmod -R g+rwX {path.parent}`, then run the same command again"
    )


def _folders(directory: Path) -> list[Path]:
    """Return the folders with checkpoint names, in order of step.

    Raises:
        RecordError: If this user lacks permission to list them.
    """
    try:
        found = [path for path in directory.iterdir() if _FOLDER.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    except OSError:
        raise _unreadable(directory) from None
    return sorted((path for path in found if path.is_dir()), key=_step_of)


def _complete(directory: Path) -> list[Path]:
    try:
        return [path for path in _folders(directory) if (path / MANIFEST).exists()]
    except PermissionError as error:
        raise _unreadable(Path(error.filename)) from None


def _step_of(path: Path) -> int:
    match = _FOLDER.fullmatch(path.name)
    assert match is not None, "only folders with checkpoint names are listed"
    return int(match[1])


def _remove_old(directory: Path, step: int) -> None:
    """Remove all but the newest two checkpoints up to a step; later ones were skipped."""
    for old in [path for path in _complete(directory) if _step_of(path) <= step][:-_N_KEPT]:
        with suppress(OSError):  # retried after the next checkpoint
            _remove(old)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint; if interrupted, `remove_leftovers` removes the rest."""
    doomed = temporary_path(checkpoint)
    checkpoint.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_finite(tensor: Tensor) -> bool:
    # A finite sum implies finite terms, and is much faster than checking each one.
    return math.isfinite(tensor.sum().item()) or bool(tensor.isfinite().all())
