"""Writing an exported folder: complete or absent."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from switchhead_lab.config.data import TextData
from switchhead_lab.config.files import to_toml
from switchhead_lab.data.tokenisation import Tokenizer
from switchhead_lab.errors import ConfigError, RecordError, reason_of
from switchhead_lab.export import file_names as names
from switchhead_lab.export.hugging_face import HF_SOURCES, hugging_face_files
from switchhead_lab.export.manifest import (
    FORMAT_VERSION,
    ExportFormat,
    ExportManifest,
    read_manifest,
)
from switchhead_lab.export.model_card import model_card
from switchhead_lab.export.plugin_files import plugin_files
from switchhead_lab.tracking import file_names as run_files
from switchhead_lab.tracking.atomic import (
    remove_temporaries,
    reported,
    require_space,
    sync_directory,
    temporary_path,
    write_synced,
)
from switchhead_lab.tracking.record import RunRecord

# Written into an existing folder by Python when it imports from there.
_BYTECODE_DIR = "__pycache__"
_COPIED = (
    run_files.LABELS_FILE,
    run_files.PROVENANCE_FILE,
    run_files.DIFF_FILE,
    run_files.RESULT_FILE,
)
_ABANDONED_SECONDS = 24 * 3600.0
"""Age of a temporary folder that a killed export left."""
_METADATA = {"format": "pt"}  # transformers refuses weights without it


@dataclass(frozen=True)
class ModelToExport:
    """A model, and what is known about it.

    Attributes:
        name: Name of its run.
        record: The run's record.
        step: Optimiser steps of the weights.
        weights: Values by parameter name, float32, on the CPU.
        tokenizer: Its tokenizer; None unless it was trained on text.
    """

    name: str
    record: RunRecord
    step: int
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer | None


def write_export(model: ModelToExport, target: Path, format_: ExportFormat) -> ExportManifest:
    """Write a model as a self-contained folder; the same run gives the same bytes.

    Args:
        model: The model.
        target: Folder to create; an intact export in its place is replaced.
        format_: "lab", or "hf" for the files of transformers in addition.

    Raises:
        ConfigError: If the target exists and is not an export, or holds other files too.
        RecordError: If the model cannot be exported in this format, or its record is damaged.
        StorageError: If the disk refuses a write; no partial export remains.
        WorkspaceError: If the folder cannot be written.
    """
    _require_replaceable(target)
    plugins, kept = plugin_files(model.record)
    files = _files_of(model, format_)
    files |= {f"{run_files.PLUGINS_DIR}/{name}": source for name, source in kept.items()}
    with reported(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    remove_temporaries(target.parent, re.escape(target.name), _ABANDONED_SECONDS)
    n_bytes = sum(weight.nbytes for weight in model.weights.values())
    require_space(target, n_bytes + sum(map(len, files.values())))
    temporary = temporary_path(target)
    try:
        with reported(target, n_bytes):
            temporary.mkdir()
            hashes = {name: _write(temporary / name, contents) for name, contents in files.items()}
            hashes[names.WEIGHTS_FILE] = _write_weights(temporary, model.weights)
            manifest = ExportManifest(
                format=format_,
                format_version=FORMAT_VERSION,
                run=model.name,
                run_hash=model.record.run_hash,
                step=model.step,
                plugins=plugins,
                files=dict(sorted(hashes.items())),
            ).sealed()
            text = manifest.model_dump_json(indent=2) + "\n"
            _write(temporary / names.MANIFEST_FILE, text.encode())
            _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _files_of(model: ModelToExport, format_: ExportFormat) -> dict[str, bytes]:
    """Return all files but weights, plugins and manifest."""
    record = model.record
    card = model_card(model.name, record, model.step, format_)
    files = {names.CARD_FILE: card.encode(), run_files.CONFIG_FILE: to_toml(record.config).encode()}
    for name in _COPIED:
        if contents := _read_if_there(record.directory / name):
            files[name] = contents
    if model.tokenizer is not None and isinstance(record.config.data, TextData):
        name = names.exported_tokenizer_name(record.config.data.tokenizer)
        files[name] = model.tokenizer.to_bytes()
    if format_ == "hf":
        files |= hugging_face_files(model.name, record.config, model.tokenizer)
        package = resources.files(f"{__package__}.hf")
        files |= {name: package.joinpath(name).read_bytes() for name in HF_SOURCES}
    return files


def _read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {reason_of(error)}") from None


def _write(path: Path, contents: bytes) -> str:
    """Write a file and return its SHA-256."""
    path.parent.mkdir(exist_ok=True)
    write_synced(path, contents)
    return hashlib.sha256(contents).hexdigest()


def _write_weights(folder: Path, weights: Mapping[str, Tensor]) -> str:
    path = folder / names.WEIGHTS_FILE
    path.touch()
    mode = path.stat().st_mode
    save_file({name: weights[name].contiguous() for name in sorted(weights)}, path, _METADATA)
    path.chmod(mode)  # safetensors ignores the umask: only the owner could read the file
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _swap(temporary: Path, target: Path) -> None:
    """Put a finished folder in the place of the old one, if any."""
    if target.exists():
        old = temporary_path(target)
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temporary.rename(target)
    sync_directory(target.parent)


def _require_replaceable(target: Path) -> None:
    """Reject a target whose replacement would lose something else than an export.

    Raises:
        ConfigError: If it exists, unless it is an export or an empty folder.
    """
    advice = "choose another folder with --out"
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink() or not target.is_dir():
        raise ConfigError(f"{target}: exists and is not a folder; {advice}")
    present = {
        str(path.relative_to(target))
        for path in target.rglob("*")
        if not path.is_dir() and _BYTECODE_DIR not in path.parts
    }
    if not present:
        return
    try:
        known = {*read_manifest(target).files, names.MANIFEST_FILE}
    except RecordError as error:
        raise ConfigError(
            f"{target}: exists and is not an intact export ({error}); {advice}"
        ) from None
    if others := sorted(present - known):
        raise ConfigError(
            f"{target}: holds {others[0]}, which is not part of the export there; {advice}"
        )
