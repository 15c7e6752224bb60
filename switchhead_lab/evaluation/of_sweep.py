"""The evaluation that a sweep asks for: every finished run of its models on the same tasks."""

from collections.abc import Collection
from pathlib import Path

from switchhead_lab.config.evaluation import SweepEvaluation
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.evaluation.evaluate import Report
from switchhead_lab.evaluation.evaluated import Evaluated, evaluate_model
from switchhead_lab.evaluation.tasks import find_tasks
from switchhead_lab.tracking.evaluations import evaluation_dir
from switchhead_lab.tracking.record import read_run
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.trained.run import TrainedRun


def evaluate_sweep(
    workspace: Workspace, record: SweepRecord, report: Report, seen: set[str]
) -> None:
    """Evaluate the finished runs of a sweep that lack a result of its tasks.

    A run that cannot be evaluated is reported and skipped: the sweep itself is done.

    Args:
        workspace: The workspace.
        record: The sweep's record.
        report: Called with a line about progress.
        seen: Names of runs that this process has evaluated, which are skipped; updated.
    """
    wanted = record.sweep.evaluation
    if wanted is None:
        return
    tasks = find_tasks(wanted.tasks)
    for name in _finished(record, seen):
        seen.add(name)
        try:
            run = read_run(workspace.runs_dir / name)
            found = Evaluated(name, evaluation_dir(run.directory), TrainedRun(run, workspace))
            evaluate_model(found, tasks, data_root=data_root_of(wanted, workspace), report=report)
            found.sync()
        except LabError as error:
            report(f"warning: {name}: not evaluated: {error}")


def data_root_of(wanted: SweepEvaluation, workspace: Workspace) -> Path | None:
    """Return the folder of the published files; None for the hub."""
    if not wanted.data_root:
        return None
    return workspace.root / Path(wanted.data_root).expanduser()


def _finished(record: SweepRecord, seen: Collection[str]) -> list[str]:
    """Return the names of a sweep's finished runs, each once."""
    names = [
        member.run_name
        for member in record.members
        if member.role != "candidate" and member.state == "finished"
    ]
    return [name for name in dict.fromkeys(names) if name not in seen]
