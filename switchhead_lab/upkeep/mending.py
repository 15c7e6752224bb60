"""What `lab doctor` finds wrong with records, and how it mends it; no result is ever deleted."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.config.addresses import database_path
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError, RunBusyError, WorkspaceError
from switchhead_lab.tracking.liveness import hold_run, is_orphaned, observed_state
from switchhead_lab.tracking.mlflow_bounds import bounds_for
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, MlflowIndex, artifact_dir
from switchhead_lab.tracking.mlflow_store import Survey
from switchhead_lab.tracking.mlflow_sync import sync_workspace
from switchhead_lab.tracking.record import RunRecord, list_runs
from switchhead_lab.tracking.run_dir import close_orphan
from switchhead_lab.tracking.sweep_dir import sweeps_dir
from switchhead_lab.tracking.unsynced import is_unsynced
from switchhead_lab.training.diagnosis import Finding
from switchhead_lab.upkeep.leftovers import find_leftovers, remove_leftover
from switchhead_lab.upkeep.run_checks import is_run_directory

_FIX = "lab doctor --fix"


@dataclass(frozen=True)
class RecordHealth:
    """The state of a workspace's records.

    Attributes:
        n_runs: Readable runs.
        orphaned: Runs whose status is "running" although no process trains them.
        stale: Why MLflow's copy of a run is not up to date, by name.
        gone: Names of runs and sweeps in MLflow that are no longer on disk.
        leftovers: Temporaries of killed processes.
        damaged: Errors of run directories that cannot be read, by name.
        mlflow_fault: Why MLflow could not be compared; empty if it was, or there is none.
    """

    n_runs: int
    orphaned: list[RunRecord]
    stale: dict[str, str]
    gone: list[str]
    leftovers: list[Path]
    damaged: dict[str, str] = field(default_factory=dict)
    mlflow_fault: str = ""


def examine_records(workspace: Workspace) -> RecordHealth:
    """Compare run directories, locks and MLflow; nothing is changed on disk.

    Runs that a process is training are left out.
    """
    faults: list[str] = []
    runs_dir = workspace.runs_dir
    runs = list_runs(runs_dir, lambda error: faults.append(" ".join(str(error).split())))
    orphaned = [run for run in runs if is_orphaned(run)]
    survey, fault = _survey(workspace, runs)
    known = {run.name for run in runs}
    unread = [
        path.name
        for path in sorted(runs_dir.glob("[!.]*/"))
        if path.name not in known and is_run_directory(path)
    ]
    return RecordHealth(
        n_runs=len(runs),
        orphaned=orphaned,
        stale=survey.stale,
        gone=survey.orphans,
        leftovers=find_leftovers(workspace),
        damaged={
            name: next((text for text in faults if name in text), "has no status")
            for name in unread
        },
        mlflow_fault=fault,
    )


def _survey(workspace: Workspace, runs: list[RunRecord]) -> tuple[Survey, str]:
    """Compare MLflow with the runs; return the outcome, and why it could not be compared."""
    uri = workspace.tracking_uri
    if uri == "none":
        return Survey({}, []), ""
    settled = [run for run in runs if observed_state(run) != "running"]
    marked = {
        run.name: "has no verified copy in MLflow" for run in settled if is_unsynced(run.directory)
    }
    path = database_path(uri)
    if path is not None and not path.is_file():  # not created by a diagnosis
        missing = {run.name: "is missing in MLflow" for run in settled}
        return Survey({**missing, **marked}, []), ""
    index = MlflowIndex(uri, EXPERIMENT, artifact_dir(workspace), bounds_for(uri))
    found = index.attempt(lambda store: store.survey(workspace.runs_dir, settled))
    if found is None:
        return Survey(marked, []), "could not be compared with the disk, see the warning"
    return Survey({**marked, **found.stale}, found.orphans), ""


def record_findings(health: RecordHealth) -> Iterator[Finding]:
    """Yield a line for each thing to mend, or one that says that there is none."""
    for run in health.orphaned:
        yield Finding(
            "orphaned run",
            f'{run.name}: its status is "running", but no process trains it',
            f"{_FIX} closes it; the command that started it continues it",
        )
    for path in health.leftovers:
        yield Finding("leftover", f"{path}, of a killed process", f"{_FIX} removes it")
    for name, reason in health.stale.items():
        yield Finding("MLflow copy", f"{name} {reason}", f"{_FIX} copies it again")
    for name in health.gone:
        yield Finding(
            "MLflow copy",
            f"{name} is no longer on disk",
            f"{_FIX} moves the copy to MLflow's trash; restore the directory to keep it",
        )
    for name, reason in health.damaged.items():
        yield Finding("damaged run", f"{name}: {reason}", "lab verify names every file")
    if health.mlflow_fault:
        yield Finding("MLflow", health.mlflow_fault, "start the server, then run this again")
    if (
        not any((health.orphaned, health.leftovers, health.stale, health.gone, health.damaged))
        and not health.mlflow_fault
    ):
        runs = "1 run" if health.n_runs == 1 else f"{health.n_runs} runs"
        yield Finding("records", f"{runs}, nothing to mend")


def mend_records(workspace: Workspace, health: RecordHealth) -> tuple[list[Finding], bool]:
    """Mend what was found; doing it again changes nothing.

    Runs that a process has begun to train meanwhile are left alone. Results, checkpoints and
    metrics are never deleted.

    Returns:
        What was done, and whether MLflow is up to date.

    Raises:
        StorageError: If the disk refuses a write.
    """
    done = [*_close_orphans(health)]
    for path in health.leftovers:
        if remove_leftover(workspace, path):
            done.append(Finding("mended", f"{path}: removed"))
    if workspace.tracking_uri == "none":
        return done, True
    if health.mlflow_fault:
        return done, False
    marked = [run.name for run in health.orphaned]
    names = {*health.stale, *marked}
    if not names and not health.gone:
        return done, True
    chosen = [run for run in list_runs(workspace.runs_dir, _ignore) if run.name in names]
    try:
        sync_workspace(workspace, chosen)
    except WorkspaceError as error:
        return [*done, Finding("not mended", str(error), "lab runs sync")], False
    done += [Finding("mended", f"{run.name}: copied to MLflow") for run in chosen]
    return [*done, *_remove_gone(workspace, health)], True


def _close_orphans(health: RecordHealth) -> Iterator[Finding]:
    for run in health.orphaned:
        with suppress(RunBusyError):  # a process has begun to train it
            with hold_run(run.directory.parent, run.run_hash):
                closed = close_orphan(run.directory)
            if closed is not None:
                yield Finding("mended", f"{run.name}: {closed.state} at step {closed.step}")


def _remove_gone(workspace: Workspace, health: RecordHealth) -> Iterator[Finding]:
    if not health.gone:
        return
    uri = workspace.tracking_uri
    index = MlflowIndex(uri, EXPERIMENT, artifact_dir(workspace), bounds_for(uri))
    index.remove_orphans(workspace.runs_dir)
    for name in health.gone:
        if not any((folder / name).exists() for folder in _folders(workspace)):
            yield Finding("mended", f"{name}: MLflow's copy moved to its trash")


def _folders(workspace: Workspace) -> tuple[Path, Path]:
    return workspace.runs_dir, sweeps_dir(workspace.runs_dir)


def _ignore(error: LabError) -> None:
    """Skip a run that cannot be read; it was reported before."""
