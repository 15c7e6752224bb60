"""Data sets, checkpoints and reports in MLflow's own terms, beside a run's copy."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR
from switchhead_lab.tracking.mlflow_fields import TAG_CHECKPOINTS, TAG_NOTE
from switchhead_lab.tracking.record import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REPORT_FOLDER = "report"
"""Artifact folder of a sweep's report."""
NOTE_MARK = "<!-- lab report -->"
"""First line of descriptions that the lab wrote and may replace."""
_MODEL_TYPE = "switchhead_lab"
_MAX_DIGEST = 36  # MLflow's limit


def link_data(client: "MlflowClient", run_id: str, record: RunRecord) -> None:
    """Name the data set of a run; naming it again changes nothing."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    manifest = record.provenance.get("data_manifest") or {}
    if not manifest.get("digest"):
        return
    config = record.config.data
    splits = {name: split.get("n_tokens") for name, split in manifest.get("splits", {}).items()}
    data_set = Dataset(
        name=config.corpus,
        digest=manifest["digest"][:_MAX_DIGEST],
        source_type="local",
        source=json.dumps({"corpus": config.corpus, "sha256": manifest.get("source_sha256")}),
        schema=json.dumps({"tokenizer": manifest.get("tokenizer")}),
        profile=json.dumps({"tokens": splits, "digest": manifest["digest"]}),
    )
    tags = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(run_id, datasets=[DatasetInput(data_set, tags)])


def link_checkpoint(client: "MlflowClient", run: "Run", record: RunRecord) -> None:
    """Name the final checkpoint of a finished run as its model, once; the weights stay on disk."""
    from mlflow.entities import LoggedModelOutput

    folder = record.directory / CHECKPOINTS_DIR
    is_linked = run.outputs is not None and bool(run.outputs.model_outputs)
    if record.result is None or not folder.is_dir() or is_linked:
        return
    model = client.create_logged_model(
        run.info.experiment_id,
        name=record.labels.variant,
        source_run_id=run.info.run_id,
        tags={TAG_CHECKPOINTS: str(folder.resolve())},
        params={
            "run": record.name,
            "parameters": str(record.result.n_parameters),
            "open": f'switchhead_lab.open_run("{record.name}").model()',
        },
        model_type=_MODEL_TYPE,
    )
    client.finalize_logged_model(model.model_id, "READY")
    output = LoggedModelOutput(model.model_id, step=record.result.n_steps)
    client.log_outputs(run.info.run_id, models=[output])


def delete_run(client: "MlflowClient", run: "Run") -> None:
    """Move a run to MLflow's trash, with the models that name its checkpoints."""
    for output in run.outputs.model_outputs if run.outputs else ():
        client.delete_logged_model(output.model_id)
    client.delete_run(run.info.run_id)


def attach_report(client: "MlflowClient", run: "Run", folder: Path, note: str) -> None:
    """Replace the report among a run's artifacts, and the description unless it is a user's.

    Args:
        client: Client of the tracking store.
        run: The parent run of a sweep.
        folder: Folder of the report.
        note: Description in Markdown.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    run_id = run.info.run_id
    if any(file.path == REPORT_FOLDER for file in client.list_artifacts(run_id)):
        # Figures that an earlier report had and this one has not would mislead.
        artifacts = get_artifact_repository(run.info.artifact_uri, client.tracking_uri)
        artifacts.delete_artifacts(REPORT_FOLDER)  # type: ignore[no-untyped-call]
    client.log_artifacts(run_id, str(folder), REPORT_FOLDER)
    held = run.data.tags.get(TAG_NOTE, "")
    if not held or held.startswith(NOTE_MARK):
        client.set_tag(run_id, TAG_NOTE, f"{NOTE_MARK}\n{note}")
