"""Uploads of ended runs to the object store; a store that fails costs no run.

runs/<name>/uploaded.json   UploadNote: what the store has, and the files that it was read from
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RecordError, RunBusyError, StorageError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.atomic import reported, write_text
from switchhead_lab.tracking.file_names import CONFIG_FILE, RESULT_FILE, UPLOAD_FILE
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import RunRecord, RunState, read_run, read_status
from switchhead_lab.tracking.run_files import files_of_run, name_in_run
from switchhead_lab.tracking.stored_run import (
    StoredFile,
    StoredRun,
    missing_objects,
    read_marker,
)

_ENDED: tuple[RunState, ...] = ("finished", "failed", "pruned")
Stamps = dict[str, list[int]]
"""Modification time (ns) and size of each file, by name."""


class UploadNote(FrozenModel):
    """What the store has of a run: contents of uploaded.json."""

    address: str
    """`artifacts_uri` of the store."""
    stamps: Stamps
    """Stamps of the local files."""
    run: StoredRun
    """The run as stored."""


class Uploads:
    """Uploads the runs of a workspace; failures are warnings, and are made up for later.

    Args:
        workspace: The workspace; nothing happens if it has no object store.
        say: Called with a line for each failure.
    """

    def __init__(self, workspace: Workspace, say: Callable[[str], None]) -> None:
        self._address = workspace.settings.artifacts_uri
        self._runs_dir, self._say = workspace.runs_dir, say
        self._store: ArtifactStore | None = None

    def upload(self, directory: Path) -> bool:
        """Upload a run if it has ended and the store lacks it; return whether the store failed."""
        if not self._address or not _is_due(directory) or is_uploaded(directory, self._address):
            return False
        try:
            upload_run(self._opened(), directory)
        except RunBusyError:  # a process trains or uploads it now
            return False
        except LabError as error:
            self._say(
                f"warning: {directory.name}: not uploaded: {error}; the run is complete on this "
                "host: `lab doctor --fix` uploads it later"
            )
            return isinstance(error, StorageError)
        return False

    def catch_up(self) -> None:
        """Upload all ended runs that the store lacks, until the store fails."""
        for directory in not_uploaded(self._runs_dir, self._address):
            if self.upload(directory):
                return

    def _opened(self) -> ArtifactStore:
        if self._store is None:
            self._store = ArtifactStore(self._address)
        return self._store


def not_uploaded(runs_dir: Path, address: str) -> list[Path]:
    """Return the directories of ended runs that the store lacks, or has with other files.

    Args:
        runs_dir: Folder of all runs.
        address: `artifacts_uri`; without one, nothing is to be uploaded.
    """
    if not address:
        return []
    return [
        path
        for path in sorted(runs_dir.glob("[!.]*/"))
        if (path / CONFIG_FILE).is_file() and _is_due(path) and not is_uploaded(path, address)
    ]


def upload_notice(runs_dir: Path, address: str) -> str | None:
    """Return one line with the number of runs that the store lacks; None if there are none."""
    if not (number := len(not_uploaded(runs_dir, address))):
        return None
    runs = "1 run is" if number == 1 else f"{number} runs are"
    return f"{runs} not in {address} yet: lab doctor --fix"


def is_uploaded(directory: Path, address: str) -> bool:
    """Return whether a run was uploaded to a store and has not changed since."""
    note = read_note(directory)
    if note is None or note.address != address:
        return False
    try:
        return note.stamps == _stamps(directory)
    except RecordError:
        return False


def read_note(directory: Path) -> UploadNote | None:
    """Return what was noted at a run's last upload; None without a readable note."""
    with suppress(OSError, ValidationError):
        return UploadNote.model_validate_json((directory / UPLOAD_FILE).read_bytes())
    return None


def write_note(directory: Path, address: str, run: StoredRun) -> None:
    """Note that the store has the files that are in a run directory now.

    Raises:
        StorageError: If the disk refuses the write.
    """
    _write_note(directory, address, run, _stamps(directory))


def upload_run(store: ArtifactStore, directory: Path) -> None:
    """Upload a run directory; objects that the store has already are skipped.

    Args:
        store: The store.
        directory: Directory of a run that has ended.

    Raises:
        RunBusyError: If a process is training or uploading the run.
        RecordError: If the directory is damaged or holds links.
        StorageError: If the store fails, or a file changes meanwhile; no reader believes what was
            uploaded so far.
    """
    record = read_run(directory)
    with hold_run(directory.parent, record.run_hash):
        stamps = _stamps(directory)
        run = _described(record, stamps)
        earlier = _earlier(store, run)
        if earlier is not None and earlier.started_at > run.started_at:
            # Another host took the run over; what it trained counts.
            _write_note(directory, store.address, earlier, stamps)
            return
        if earlier is not None and earlier.started_at == run.started_at:
            # The same training: other hosts may have added evaluations, or this one lacks weights.
            run = run.model_copy(update={"files": {**earlier.files, **run.files}})
        run = run.sealed()
        missing = missing_objects(run, store.sizes(run.folder))
        here = [name for name in missing if name in stamps]
        store.put({run.key(name): directory / name for name in here})
        if _stamps(directory) != stamps:
            raise StorageError(f"{directory}: its files changed during the upload")
        if run != earlier:
            store.write(run.marker, run.as_bytes())
        _write_note(directory, store.address, run, stamps)


def _earlier(store: ArtifactStore, run: StoredRun) -> StoredRun | None:
    """Return what the store has of the attempt; a damaged marker is replaced."""
    with suppress(RecordError):
        return read_marker(store, run.run, run.attempt)
    return None


def _described(record: RunRecord, stamps: Stamps) -> StoredRun:
    """Return the description of a run directory, with the hash of every file."""
    status, files = record.status, {}
    for name, (_, n_bytes) in stamps.items():
        path = record.directory / name
        with reported(path), path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[name] = StoredFile(n_bytes=n_bytes, sha256=digest)
    return StoredRun(
        run=record.name,
        attempt=status.attempt,
        state="finished" if record.result is not None else status.state,
        host=status.host,
        started_at=status.started_at,
        files=files,
    )


def _is_due(directory: Path) -> bool:
    """Return whether a run has ended for good, as far as its directory says."""
    if (directory / RESULT_FILE).is_file():
        return True
    status = read_status(directory)
    return status is not None and status.state in _ENDED


def _stamps(directory: Path) -> Stamps:
    stamps = {}
    for path in files_of_run(directory):
        with reported(path):
            found = path.stat()
        stamps[name_in_run(directory, path)] = [found.st_mtime_ns, found.st_size]
    return stamps


def _write_note(directory: Path, address: str, run: StoredRun, stamps: Stamps) -> None:
    note = UploadNote(address=address, stamps=stamps, run=run)
    write_text(directory / UPLOAD_FILE, note.model_dump_json() + "\n")
