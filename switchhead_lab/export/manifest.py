"""The manifest of an exported folder: what it holds, with the hash of every file."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.names import EntryName, FileName
from switchhead_lab.errors import ConfigError, RecordError, reason_of
from switchhead_lab.export.file_names import MANIFEST_FILE, WEIGHTS_FILE
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.file_names import CONFIG_FILE, PLUGINS_DIR

ExportFormat = Literal["lab", "hf"]
FORMATS: tuple[ExportFormat, ...] = ("lab", "hf")
FORMAT_VERSION = 1
_REMEDY = "copy the folder again, or export the run again"


class ExportManifest(FrozenModel):
    """Contents of manifest.json."""

    format: ExportFormat
    """"lab", or "hf", which has the files of transformers in addition."""
    format_version: int
    """Version of the layout on disk."""
    run: str
    """Name of the run."""
    run_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Identity of the run's configuration."""
    step: int = Field(ge=0)
    """Optimiser steps after which the weights were saved."""
    plugins: list[EntryName]
    """Plugins to load, in `plugins/`."""
    files: dict[FileName, str]
    """SHA-256 by path in the folder."""
    manifest_sha256: str = ""
    """SHA-256 of all other fields, in canonical JSON."""

    def sealed(self) -> "ExportManifest":
        """Return the manifest with its own hash."""
        return self.model_copy(update={"manifest_sha256": self._own_sha256()})

    @property
    def is_intact(self) -> bool:
        """Whether its own hash fits."""
        return self.manifest_sha256 == self._own_sha256()

    def _own_sha256(self) -> str:
        return hash_of(self.model_dump(mode="json", exclude={"manifest_sha256"}))


def parse_format(text: str) -> ExportFormat:
    """Return a format by name.

    Raises:
        ConfigError: If there is no such format.
    """
    for known in FORMATS:
        if known == text:
            return known
    raise ConfigError(f'format "{text}"{near_miss(text, FORMATS)}: use lab or hf')


def is_export(folder: Path) -> bool:
    """Return whether a folder looks like an export, intact or not.

    It has at least two of three files; run directories and prepared corpora have only one of them.

    Raises:
        RecordError: If this user lacks permission to check.
    """
    try:
        names = (MANIFEST_FILE, WEIGHTS_FILE, CONFIG_FILE)
        return sum((folder / name).is_file() for name in names) >= 2
    except OSError as error:
        raise RecordError(f"{folder}: cannot be read: {reason_of(error)}") from None


def read_manifest(folder: Path) -> ExportManifest:
    """Read the manifest of an export, without checking the files that it lists.

    Raises:
        RecordError: If it is missing, damaged, or of a newer version than this code reads.
    """
    path = folder / MANIFEST_FILE
    try:
        values: Any = json.loads(path.read_bytes())
        version = values["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise RecordError(
                f"{path}: format version {version} is newer than {FORMAT_VERSION}, which this "
                "code reads; update switchhead_lab"
            )
        manifest = ExportManifest.model_validate(values)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path}: damaged: {field}: {first['msg']}; {_REMEDY}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise RecordError(f"{path}: not the manifest of an export; {_REMEDY}") from None
    if not manifest.is_intact:
        raise RecordError(f"{path}: damaged: its own SHA-256 differs; {_REMEDY}")
    return manifest


def verify_files(folder: Path, manifest: ExportManifest) -> None:
    """Check every file of an export, and that no other file could be imported as a plugin.

    Raises:
        RecordError: If a file is missing, unreadable, outside the folder or differs; the message
            names the first.
    """
    root = folder.resolve()
    for name, sha256 in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(root):
            raise RecordError(f"{path}: a link that leads out of the folder; {_REMEDY}")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise RecordError(f"{path}: missing; {_REMEDY}") from None
        except OSError as error:
            raise RecordError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
        if found != sha256:
            raise RecordError(
                f"{path}: damaged: SHA-256 is {found[:12]}, but {MANIFEST_FILE} records "
                f"{sha256[:12]}; {_REMEDY}"
            )
    present = {f"{PLUGINS_DIR}/{path.name}" for path in (folder / PLUGINS_DIR).glob("*")}
    for name in sorted(present | {f"{PLUGINS_DIR}/{plugin}" for plugin in manifest.plugins}):
        if name not in manifest.files:
            raise RecordError(
                f"{folder / name}: not listed in {MANIFEST_FILE}, so its code is not loaded; "
                f"remove it, or {_REMEDY}"
            )
