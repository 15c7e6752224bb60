"""Fetching runs that other hosts have trained from the object store, after all checks."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RecordError, StorageError
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import write_note
from switchhead_lab.tracking.atomic import (
    make_directory,
    reported,
    sync_directory,
    temporary_path,
)
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR, RESULT_FILE
from switchhead_lab.tracking.liveness import hold_run, is_owned
from switchhead_lab.tracking.record import RunState
from switchhead_lab.tracking.stored_run import FOLDER, StoredRun, download, find_stored
from switchhead_lab.tracking.sweep_record import SweepMember
from switchhead_lab.upkeep.recorded_run import find_run_directory

# The checks import torch, which a report whose runs are all here does not need.

_ENDED: tuple[RunState, ...] = ("finished", "failed", "pruned")
_HASH_DIGITS = 8
# Not the run's name: its next attempt on this host would remove that as a leftover.
_TEMPORARY = "fetch"


class RunFetcher:
    """Fetches runs from the workspace's object store; does nothing if it has none.

    Runs become directories of the workspace under a temporary name and after all checks of
    `lab runs import`; their weights are fetched when they are needed.

    Args:
        workspace: The workspace.
        say: Called with a line for each run that is fetched.
    """

    def __init__(self, workspace: Workspace, say: Callable[[str], None]) -> None:
        self._workspace, self._say = workspace, say
        self._runs_dir = workspace.runs_dir

    def bring(self, reference: str, *, weights: bool = False) -> None:
        """Fetch a run that a command names, unless it is on this host.

        A reference that fits no stored run is left to the command, which reports it.

        Args:
            reference: Name of the run, or the start of its hash.
            weights: Whether its checkpoints are needed.

        Raises:
            RecordError: If the stored run is damaged or incomplete, or several match.
            StorageError: If the store fails.
        """
        if not self._workspace.settings.artifacts_uri or not is_entry_name(reference):
            return
        try:
            directory = find_run_directory(self._runs_dir, reference)
        except LabError:
            name = _matching(reference, self._store.names(FOLDER), self._store.address)
            if name is not None:
                self._fetch(name, weights=weights, is_required=True)
            return
        if weights:
            self._complete(directory)

    def bring_members(self, members: Iterable[SweepMember], *, weights: bool = False) -> None:
        """Fetch ended runs of sweeps that are not on this host, or unfinished here only.

        Args:
            members: Members of sweeps' records.
            weights: Whether their checkpoints are needed.

        Raises:
            RecordError: If a stored run is damaged; all others have been fetched.
            StorageError: If the store fails.
        """
        if not self._workspace.settings.artifacts_uri:
            return
        ended = {member.run_name: member for member in members if member.state in _ENDED}
        absent = {name for name, member in ended.items() if not self._is_here(member)}
        # Listed anew at each call: other hosts upload meanwhile.
        stored = absent.intersection(self._store.names(FOLDER)) if absent else set()
        faults = []
        for name in ended:
            try:
                if name in stored:
                    self._fetch(name, weights=weights)
                elif weights and name not in absent:
                    self._complete(self._runs_dir / name)
            except RecordError as error:
                faults.append(str(error))
        if faults:
            raise RecordError("\n".join(faults))

    @cached_property
    def _store(self) -> ArtifactStore:
        return ArtifactStore(self._workspace.settings.artifacts_uri)

    def _is_here(self, member: SweepMember) -> bool:
        """Return whether a run of a sweep is on this host, as far as it ended."""
        directory = self._runs_dir / member.run_name
        if not directory.is_dir():
            return False
        if member.state != "finished" or (directory / RESULT_FILE).is_file():
            return True
        return is_owned(self._runs_dir, member.run_hash)

    def _fetch(self, name: str, *, weights: bool, is_required: bool = False) -> None:
        """Fetch a run; without a complete upload, do nothing unless it is required."""
        found = find_stored(self._store, name)
        if found.run is None:
            if is_required:
                raise RecordError(
                    f"{self._store.where(f'{FOLDER}/{name}')}: the upload is not complete; on the "
                    "host that trained the run, use `lab doctor --fix`"
                )
            return
        from switchhead_lab.upkeep.importing import Copy, adopt

        run, where = found.run, self._store.where(found.run.folder)
        temporary = temporary_path(make_directory(self._runs_dir) / _TEMPORARY)
        try:
            make_directory(temporary)
            files = [*run.select(weights=False), *(run.select(weights=True) if weights else ())]
            download(self._store, run, files, temporary)
            copy = Copy(temporary, name, where, where)
            directory = adopt(
                self._workspace, copy, replaces_unfinished=run.state == "finished"
            ).directory
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        write_note(directory, self._store.address, run)
        self._say(f"{name}: fetched from {self._store.address}")

    def _complete(self, directory: Path) -> None:
        """Fetch the checkpoints of a run that was fetched without them."""
        if any((directory / CHECKPOINTS_DIR).glob("step-*")):
            return
        from switchhead_lab.upkeep.check_list import CheckList
        from switchhead_lab.upkeep.run_checks import run_hash_of
        from switchhead_lab.upkeep.training_checks import check_checkpoints

        found = find_stored(self._store, directory.name).run
        names = [] if found is None else found.select(weights=True)
        run_hash = run_hash_of(directory)
        if found is None or not names or run_hash is None:
            return  # whoever needs them reports that there are none
        _require_same_result(found, directory, self._store.where(found.folder))
        temporary = temporary_path(self._runs_dir / _TEMPORARY)
        try:
            make_directory(temporary)
            download(self._store, found, names, temporary)
            checks = CheckList(directory.name)
            check_checkpoints(checks, temporary, run_hash)
            for failure in checks.failures:
                raise RecordError(
                    f"{self._store.where(found.folder)}: not fetched: {failure.fault}; run "
                    "`lab verify` where it was trained"
                )
            target = directory / CHECKPOINTS_DIR
            with hold_run(self._runs_dir, run_hash), reported(target):
                if target.is_dir():
                    target.rmdir()
                (temporary / CHECKPOINTS_DIR).rename(target)
                sync_directory(directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        write_note(directory, self._store.address, found)
        self._say(f"{directory.name}: weights fetched from {self._store.address}")


def _matching(reference: str, names: Sequence[str], address: str) -> str | None:
    """Return the stored run that a reference names; None if there is none.

    Raises:
        RecordError: If several match.
    """
    if reference in names:
        return reference
    start = reference[:_HASH_DIGITS]
    found = [name for name in names if name.rpartition("-")[2].startswith(start)]
    if len(found) > 1:
        raise RecordError(
            f'"{reference}" matches several runs in {address}: {", ".join(found)}; give the name '
            "of one"
        )
    return found[0] if found else None


def _require_same_result(run: StoredRun, directory: Path, where: str) -> None:
    """Check that a stored run is the one in a directory, not another of its configuration.

    Raises:
        RecordError: If their results differ.
    """
    path, stored = directory / RESULT_FILE, run.files.get(RESULT_FILE)
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    if found != (stored and stored.sha256):
        raise RecordError(
            f"{where}: another run of the same configuration than {directory}, whose "
            f"{RESULT_FILE} differs; move that directory away to fetch this one"
        )


def bring_or_warn(fetch: Callable[[], None], say: Callable[[str], None]) -> list[str]:
    """Fetch runs for a report, which has gaps where the store fails.

    Args:
        fetch: Fetches them.
        say: Called with a warning if the store fails.

    Returns:
        Why stored runs cannot be used, one message each.
    """
    try:
        fetch()
    except StorageError as error:
        say(f"warning: runs of other hosts are missing: {error}")
    except RecordError as error:
        return str(error).splitlines()
    return []
