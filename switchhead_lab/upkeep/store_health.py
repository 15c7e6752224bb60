"""What `lab doctor` finds about the object store, and how it mends it: it uploads runs."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RecordError
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import not_uploaded, read_note, upload_run
from switchhead_lab.tracking.file_names import UPLOAD_FILE
from switchhead_lab.tracking.stored_run import FOLDER, missing_objects, read_marker
from switchhead_lab.training.diagnosis import Finding

_SUBJECT = "object store"
_FIX = "lab doctor --fix uploads it"


@dataclass(frozen=True)
class StoreHealth:
    """The state of a workspace's object store.

    Attributes:
        address: `artifacts_uri`; empty without one.
        fault: Why the store cannot be used; empty if it can.
        due: Why runs of this host have to be uploaded, by name.
    """

    address: str = ""
    fault: str = ""
    due: dict[str, str] = field(default_factory=dict)


def examine_store(workspace: Workspace) -> StoreHealth:
    """Check that the store can be written and read, and compare it with the runs of this host."""
    address = workspace.settings.artifacts_uri
    if not address:
        return StoreHealth()
    due = {
        path.name: "was not uploaded"
        if read_note(path) is None
        else "has changed since its upload, or was uploaded elsewhere"
        for path in not_uploaded(workspace.runs_dir, address)
    }
    try:
        store = ArtifactStore(address)
        store.check()
        sizes = store.sizes(FOLDER)
        for path in sorted(workspace.runs_dir.glob(f"[!.]*/{UPLOAD_FILE}")):
            if path.parent.name not in due and (fault := _fault_of(store, path.parent, sizes)):
                due[path.parent.name] = fault
    except LabError as error:
        return StoreHealth(address, str(error), due)
    return StoreHealth(address, "", due)


def store_findings(health: StoreHealth) -> Iterator[Finding]:
    """Yield a line about the store, and one for each run to upload."""
    if not health.address:
        return
    if health.fault:
        advice = "when that is settled, run this again; runs are complete on this host"
        yield Finding(_SUBJECT, health.fault, advice)
    else:
        yield Finding(_SUBJECT, f"{health.address}: can be written and read")
    for name, reason in health.due.items():
        yield Finding("upload", f"{name} {reason}", _FIX)


def mend_store(workspace: Workspace, health: StoreHealth) -> tuple[list[Finding], bool]:
    """Upload the runs that the store lacks.

    Returns:
        What was done, and whether the store has all runs.
    """
    done: list[Finding] = []
    if health.fault or not health.due:
        return done, not health.due
    store = ArtifactStore(health.address)
    for name in health.due:
        try:
            upload_run(store, workspace.runs_dir / name)
        except LabError as error:
            done.append(Finding("not mended", f"{name}: {error}", "lab doctor --fix again later"))
        else:
            done.append(Finding("mended", f"{name}: uploaded to {health.address}"))
    return done, all(one.subject == "mended" for one in done)


def _fault_of(store: ArtifactStore, directory: Path, sizes: dict[str, int]) -> str:
    """Return what is wrong with an uploaded run in the store; empty if nothing is."""
    note = read_note(directory)
    if note is None or note.address != store.address:
        return ""
    run = note.run
    missing = [n for n in missing_objects(run, sizes) if (directory / n).is_file()]
    if missing:
        files = "1 file" if len(missing) == 1 else f"{len(missing)} files"
        return f"was uploaded, but the store lacks {files} of it"
    if sizes.get(run.marker) != len(run.as_bytes()):
        with suppress(RecordError):
            if read_marker(store, run.run, run.attempt) is not None:
                return ""  # another host has added to it
        return "was uploaded, but the mark of its completion is missing or damaged"
    return ""
