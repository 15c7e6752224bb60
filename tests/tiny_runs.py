"""Running tiny configurations, and comparing what their runs recorded."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import MetricPoint, RunLabels, RunRecord, read_run
from switchhead_lab.training.hooks import Hook, Prune
from switchhead_lab.training.run import execute_run


class StopAtFour:
    """A hook that interrupts training after its fourth step."""

    def observe(self, point: MetricPoint) -> Prune | None:
        if point.step == 4:
            raise KeyboardInterrupt
        return None


def train(workspace: Workspace, config: RunConfig, hooks: Sequence[Hook] = ()) -> RunRecord:
    labels = RunLabels(size="tiny", variant="model")
    return execute_run(workspace, config, labels, index=NoIndex(), hooks=hooks)


_known: dict[str, Path] = {}


def trained_once(workspace: Workspace, config: RunConfig) -> RunRecord:
    """Return a finished run that a test only starts from: trained once per process, then copied."""
    key = config.model_dump_json()
    if key not in _known:
        folder = Path(tempfile.mkdtemp(prefix="trained-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        run = train(workspace, config)
        _known[key] = Path(shutil.copytree(run.directory, folder / run.name))
        return run
    copy = workspace.runs_dir / _known[key].name
    return read_run(Path(shutil.copytree(_known[key], copy)))


def figures(run: RunRecord) -> list[tuple[int, str, float]]:
    """Return what a run recorded that does not depend on time."""
    return [
        (point.step, name, value)
        for point in run.metrics()
        for name, value in point.metrics.items()
        if not name.startswith("train/") or name == "train/loss_nats"
    ]
