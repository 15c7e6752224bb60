"""Exporting a trained run as a self-contained folder."""

from pathlib import Path

from switchhead_lab.config.data import TextData
from switchhead_lab.export.folder import ModelToExport, write_export
from switchhead_lab.export.manifest import ExportFormat, ExportManifest
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun


def export_run(
    run: OpenedRun,
    folder: str | Path = "",
    *,
    format: ExportFormat = "lab",
    checkpoint: Checkpoint = "last",
) -> tuple[Path, ExportManifest]:
    """Write a model, its tokenizer and all that is known about it as one folder.

    Equal arguments give equal bytes. `open_run` opens the folder anywhere.

    Args:
        run: A run with a checkpoint, or an export.
        folder: Folder to create; by default `exports/<name of the run>` in the current one, with
            "-hf" appended for that format. An intact export in its place is replaced.
        format: "lab", or "hf" for a folder that transformers loads too.
        checkpoint: Checkpoint to export.

    Returns:
        The folder and its manifest.

    Raises:
        ConfigError: If the folder exists and is not an export, or holds other files too.
        DataError: If the tokenizer is missing and cannot be prepared.
        RecordError: If the checkpoint is unusable, or the format cannot hold the model.
        StorageError: If the disk refuses a write; no partial export remains.
        WorkspaceError: If the folder cannot be written.
    """
    suffix = "-hf" if format == "hf" else ""
    target = Path(folder) if folder else Path("exports") / f"{run.name}{suffix}"
    saved = run.weights(checkpoint)
    exported = ModelToExport(
        name=run.name,
        record=run.record,
        step=saved.step,
        weights=run.build_model(saved).state_dict(),
        tokenizer=run.tokenizer() if isinstance(run.config.data, TextData) else None,
    )
    return target, write_export(exported, target.absolute(), format)
