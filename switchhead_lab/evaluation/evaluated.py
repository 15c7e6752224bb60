"""Models that `lab eval` names: where their results are, and how they are loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.evaluation.evaluate import Report, evaluate_tasks
from switchhead_lab.evaluation.language_models import (
    HF_PREFIX,
    PRECISIONS,
    LanguageModel,
    Precision,
    model_of_checkpoint,
    model_of_run,
)
from switchhead_lab.evaluation.tasks import Task
from switchhead_lab.tracking.artifact_upload import Uploads
from switchhead_lab.tracking.evaluations import TaskResult, evaluation_dir
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun
from switchhead_lab.trained.run import TrainedRun, open_run

_CHECKPOINT_RESULTS = "evaluations"


@dataclass(frozen=True)
class Evaluated:
    """A model to evaluate.

    Attributes:
        name: Its name in tables.
        directory: Folder of its results.
        source: The run, or the folder of a Hugging Face checkpoint.
    """

    name: str
    directory: Path
    source: OpenedRun | Path

    def load(self, device: str, precision: Precision, checkpoint: Checkpoint) -> LanguageModel:
        """Load the model.

        Raises:
            ConfigError: If the device is not available or does not support the precision.
            DataError: If the tokenizer is missing and cannot be prepared.
            RecordError: If it is not a language model, or its weights are unusable.
        """
        if isinstance(self.source, OpenedRun):
            return model_of_run(
                self.source, device=device, precision=precision, checkpoint=checkpoint
            )
        return model_of_checkpoint(self.source, device=device or "auto", precision=precision)

    def sync(self) -> None:
        """Copy the results of a run to MLflow, if the workspace has an index."""
        if not isinstance(self.source, TrainedRun) or self.source.workspace.tracking_uri == "none":
            return
        from switchhead_lab.tracking.mlflow_sync import sync_workspace

        record = self.source.record
        sync_workspace(self.source.workspace, [record], only_unsynced=False, is_whole=False)

    def upload(self, report: Report) -> None:
        """Upload the results of a run, if the workspace has an object store."""
        if isinstance(self.source, TrainedRun):
            Uploads(self.source.workspace, report).upload(self.source.record.directory)


def find_evaluated(name: str) -> Evaluated:
    """Find a model by the name of a run, the start of its hash, its directory, or hf:FOLDER.

    Raises:
        RecordError: If there is none.
        WorkspaceError: If there is no workspace, which keeps the results of checkpoints.
    """
    if name.startswith(HF_PREFIX):
        path = Path(name.removeprefix(HF_PREFIX)).expanduser()
        if not path.is_dir():
            raise RecordError(f"{path}: no such folder; give that of a Hugging Face checkpoint")
        folder = find_workspace().runs_dir / _CHECKPOINT_RESULTS / path.resolve().name
        return Evaluated(f"{HF_PREFIX}{path.resolve().name}", folder, path.resolve())
    run = open_run(name)
    run.require_language_model()
    return Evaluated(run.name, evaluation_dir(run.record.directory), run)


def require_precision(text: str) -> Precision:
    """Return a precision.

    Raises:
        ConfigError: If there is no such precision.
    """
    if text not in PRECISIONS:
        raise ConfigError(f'--precision "{text}": use {" or ".join(PRECISIONS)}')
    return cast("Precision", text)


def evaluate_model(
    evaluated: Evaluated,
    tasks: Sequence[Task],
    *,
    data_root: Path | None = None,
    batch_size: int | None = None,
    device: str = "",
    precision: Precision = "fp32",
    checkpoint: Checkpoint = "last",
    report: Report = lambda _line: None,
) -> list[TaskResult]:
    """Load a model and evaluate it; see `evaluate_tasks` and `Evaluated.load`."""
    model = evaluated.load(device, precision, checkpoint)
    report(f"{evaluated.name}: {len(tasks)} zero-shot task{'s' * (len(tasks) != 1)}")
    return list(
        evaluate_tasks(
            model,
            tasks,
            evaluated.directory,
            data_root=data_root,
            batch_size=batch_size,
            report=report,
        )
    )
