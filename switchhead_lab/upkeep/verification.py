"""Verifying records: runs, sweeps and exports, or everything in a workspace."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.config.sweep_files import recorded_name
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RecordError
from switchhead_lab.export.manifest import is_export, read_manifest, verify_files
from switchhead_lab.tracking.liveness import is_owned
from switchhead_lab.tracking.sweep_dir import SweepDir, sweeps_dir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.upkeep.check_list import CheckList
from switchhead_lab.upkeep.data_checks import DataChecks
from switchhead_lab.upkeep.recorded_run import find_run_directory
from switchhead_lab.upkeep.run_checks import check_run, is_run_directory, run_hash_of
from switchhead_lab.upkeep.sweep_checks import check_sweep

Report = Callable[[str], None]
_EXPORTS = "exports"


@dataclass(frozen=True)
class Targets:
    """What to verify.

    Attributes:
        runs: Run directories.
        sweeps: Directories of sweeps.
        exports: Folders of exports.
    """

    runs: list[Path]
    sweeps: list[Path]
    exports: list[Path]


def find_targets(workspace: Workspace, reference: str) -> Targets:
    """Return what a name stands for: a sweep with its runs, a run, or a folder; empty for all.

    The exports of runs in the workspace's folder `exports/` are included.

    Raises:
        RecordError: If there is no such sweep, run or folder.
    """
    runs_dir = workspace.runs_dir
    if not reference:
        return Targets(
            [path for path in sorted(runs_dir.glob("[!.]*/")) if is_run_directory(path)],
            [path.parent for path in sorted(sweeps_dir(runs_dir).glob("*/sweep.json"))],
            _exports(workspace),
        )
    path = Path(reference)
    if path.name != reference and path.is_dir():
        return _targets_in_folder(path.resolve())
    if sweeps := _sweeps_named(workspace, reference):
        runs = {one: None for path in sweeps for one in _run_directories(path)}
        return Targets(list(runs), sweeps, _exports(workspace, list(runs)))
    if not is_entry_name(reference):
        raise RecordError(f"{reference}: no such folder; give a run, a sweep or a folder of either")
    directory = find_run_directory(runs_dir, reference)
    return Targets([directory], [], _exports(workspace, [directory]))


def verify(workspace: Workspace, targets: Targets) -> Iterator[CheckList]:
    """Check every hash of records; nothing is written. Yields the outcome of each record.

    Runs that a process trains now are left out, with a note.
    """
    data = DataChecks(workspace.data_dir)
    for path in targets.sweeps:
        yield check_sweep(path, workspace.sweeps_dir)
    for directory in targets.runs:
        run_hash = run_hash_of(directory)
        if run_hash is not None and is_owned(directory.parent, run_hash):
            yield CheckList(directory.name, unchecked=[f"{directory.name}: is being trained"])
        else:
            yield check_run(directory, data, root=_root_of(workspace, directory))
    for folder in targets.exports:
        yield check_export(folder)


def check_export(folder: Path) -> CheckList:
    """Check the hash of every file of an export; its plugins are not loaded."""
    checks = CheckList(folder.name)
    with checks.reading(folder, "export the run again"):
        verify_files(folder, read_manifest(folder))
    return checks


def _root_of(workspace: Workspace, directory: Path) -> Path:
    """Return the folder that links in a run directory must not leave."""
    inside = directory.resolve()
    if inside.is_relative_to(workspace.root.resolve()):
        return workspace.root
    return workspace.runs_dir if inside.is_relative_to(workspace.runs_dir.resolve()) else directory


def _targets_in_folder(folder: Path) -> Targets:
    if is_export(folder):
        return Targets([], [], [folder])
    if (folder / "sweep.json").is_file():
        return Targets(list(_run_directories(folder)), [folder], [])
    if is_run_directory(folder):
        return Targets([folder], [], [])
    raise RecordError(f"{folder}: neither a run, nor a sweep, nor an export; see `lab runs list`")


def _sweeps_named(workspace: Workspace, reference: str) -> list[Path]:
    """Return the directories of the sweeps with a name or id, also of those without a record."""
    name = recorded_name(workspace.sweeps_dir, reference)
    found = []
    for path in sorted(sweeps_dir(workspace.runs_dir).glob("*/sweep.json")):
        directory = path.parent
        record = _read(directory)
        if directory.name == name or (record is not None and record.sweep.name == name):
            found.append(directory)
    return found


def _run_directories(sweep: Path) -> Iterator[Path]:
    """Yield the run directories of a sweep that exist."""
    record = _read(sweep)
    for member in record.members if record is not None else ():
        directory = SweepDir(sweep).run_dir(member)
        if directory.is_dir():
            yield directory


def _read(sweep: Path) -> SweepRecord | None:
    try:
        return SweepDir(sweep).read()
    except LabError:  # checked with the sweep
        return None


def _exports(workspace: Workspace, runs: list[Path] | None = None) -> list[Path]:
    """Return the exports in the workspace's folder, those of some runs or all."""
    hashes = None if runs is None else {run_hash_of(run) for run in runs}
    found = []
    for path in sorted((workspace.root / _EXPORTS).glob("[!.]*/")):
        if not is_export(path):
            continue
        try:
            run_hash: str | None = read_manifest(path).run_hash
        except RecordError:
            run_hash = run_hash_of(path)
        if hashes is None or run_hash in hashes:
            found.append(path)
    return found
