"""A run directory in an object store: its files, and last of all what makes it complete.

<artifacts_uri>/runs/<name>/<attempt>/<file>.<16 hex digits>   a file, named with its hash
<artifacts_uri>/runs/<name>/<attempt>/complete.json            StoredRun, written last

Objects named with their hash are never overwritten with other contents: two hosts cannot mix their
files, and while a run is uploaded again, readers see the earlier contents or the new ones.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError

from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.names import EntryName
from switchhead_lab.errors import RecordError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.atomic import make_directory, require_space
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR
from switchhead_lab.tracking.record import RunState
from switchhead_lab.tracking.run_files import require_plain

FOLDER = "runs"
MARKER = "complete.json"
_FORMAT = 1
_N_DIGITS = 16
_SHA256 = r"^[0-9a-f]{64}$"


class StoredFile(FrozenModel):
    """A file of a stored run."""

    n_bytes: int = Field(ge=0)
    """Size."""
    sha256: str = Field(pattern=_SHA256)
    """SHA-256 of its contents."""


class StoredRun(FrozenModel):
    """A complete run in the store: contents of complete.json."""

    format: int = _FORMAT
    """Version of the layout."""
    run: EntryName
    """Name of the run."""
    attempt: int = Field(ge=1)
    """Number of the attempt."""
    state: RunState
    """How the attempt ended."""
    host: str
    """Host of the attempt."""
    started_at: float
    """Start of the attempt, seconds since 1970."""
    files: dict[str, StoredFile]
    """Files by name in the run directory."""
    sha256: str = ""
    """SHA-256 of all other fields, in canonical JSON."""

    @property
    def folder(self) -> str:
        """Key of its folder."""
        return f"{FOLDER}/{self.run}/{self.attempt}"

    @property
    def marker(self) -> str:
        """Key of its marker."""
        return f"{self.folder}/{MARKER}"

    def key(self, name: str) -> str:
        """Return the key of the object with a file's contents."""
        return f"{self.folder}/{name}.{self.files[name].sha256[:_N_DIGITS]}"

    def select(self, *, weights: bool) -> list[str]:
        """Return the names of its checkpoints' files, or of all others."""
        return [
            name
            for name in self.files
            if (PurePosixPath(name).parts[0] == CHECKPOINTS_DIR) == weights
        ]

    def sealed(self) -> "StoredRun":
        """Return it with the hash over its other fields."""
        return self.model_copy(update={"sha256": self._hash()})

    def as_bytes(self) -> bytes:
        """Return the contents of its marker."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @property
    def is_intact(self) -> bool:
        """Whether its hash fits its other fields."""
        return self.sha256 == self._hash()

    def _hash(self) -> str:
        return hash_of(self.model_dump(mode="json", exclude={"sha256"}))


@dataclass(frozen=True)
class Found:
    """What the store has of a run.

    Attributes:
        run: The attempt to use; None if no upload is complete.
        n_incomplete: Attempts whose upload is not complete.
    """

    run: StoredRun | None
    n_incomplete: int


def find_stored(store: ArtifactStore, name: str) -> Found:
    """Return what the store has of a run: a finished attempt if there is one, else the latest.

    Raises:
        RecordError: If a marker is damaged.
        StorageError: If the store fails.
    """
    found, n_incomplete = [], 0
    for attempt in store.names(f"{FOLDER}/{name}"):
        if attempt.isdecimal():
            run = read_marker(store, name, int(attempt))
            n_incomplete += run is None
            found += [] if run is None else [run]
    best = max(found, key=lambda run: (run.state == "finished", run.started_at), default=None)
    return Found(best, n_incomplete)


def read_marker(store: ArtifactStore, name: str, attempt: int) -> StoredRun | None:
    """Return a complete attempt of a run; None if its upload is not complete.

    Raises:
        RecordError: If the marker is damaged.
        StorageError: If the store fails.
    """
    key = f"{FOLDER}/{name}/{attempt}/{MARKER}"
    data = store.read(key)
    if data is None:
        return None
    where = store.where(key)
    try:
        run = StoredRun.model_validate_json(data)
    except ValidationError as error:
        raise _damaged(where, str(error.errors()[0]["msg"])) from None
    if run.format > _FORMAT:
        raise RecordError(f"{where}: format {run.format} is newer than {_FORMAT}; update this code")
    if not run.is_intact:
        raise _damaged(where, "its SHA-256 differs")
    if (run.run, run.attempt) != (name, attempt):
        raise _damaged(where, f"it is of attempt {run.attempt} of {run.run}")
    for file in run.files:
        require_plain(where, file)
    return run


def download(store: ArtifactStore, run: StoredRun, names: list[str], folder: Path) -> None:
    """Download files of a stored run into a new folder, and check every hash.

    Args:
        store: The store.
        run: The run, as `read_marker` returned it: its names are plain.
        names: Files to download.
        folder: An empty folder, which nobody uses yet.

    Raises:
        RecordError: If an object is missing or has other contents.
        StorageError: If the store or the disk fails.
    """
    for name in names:
        make_directory((folder / name).parent)
    require_space(folder, sum(run.files[name].n_bytes for name in names))
    try:
        store.get({run.key(name): folder / name for name in names})
    except FileNotFoundError:
        present = store.sizes(run.folder)
        missing = next((name for name in names if run.key(name) not in present), names[0])
        raise _damaged(store.where(run.key(missing)), "the object is missing") from None
    for name in names:
        path, expected = folder / name, run.files[name]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected.sha256:
            fault = f"SHA-256 {found[:12]}, {MARKER} has {expected.sha256[:12]}"
            if (n_bytes := path.stat().st_size) != expected.n_bytes:
                fault = f"{n_bytes:,} bytes, {MARKER} has {expected.n_bytes:,}"
            raise _damaged(store.where(run.key(name)), fault)


def _damaged(where: str, fault: str) -> RecordError:
    return RecordError(
        f"{where}: damaged: {fault}; nothing was taken from it. Delete the object, then "
        "`lab doctor --fix` on the host that trained the run uploads it again"
    )


def missing_objects(run: StoredRun, sizes: Mapping[str, int]) -> list[str]:
    """Return the files whose objects the store lacks or has in another size.

    Args:
        run: The run.
        sizes: Sizes of the store's objects by key.
    """
    return [name for name, one in run.files.items() if sizes.get(run.key(name)) != one.n_bytes]
