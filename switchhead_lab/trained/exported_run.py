"""An exported model, opened like a run, without workspace or data."""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from safetensors import SafetensorError
from safetensors.torch import load_file

from switchhead_lab.config.data import TextData
from switchhead_lab.data.tokenisation import Tokenizer, load_tokenizer
from switchhead_lab.errors import RecordError, reason_of
from switchhead_lab.export.file_names import MANIFEST_FILE, WEIGHTS_FILE, exported_tokenizer_name
from switchhead_lab.export.manifest import ExportManifest, read_manifest, verify_files
from switchhead_lab.export.plugin_files import load_exported_plugins
from switchhead_lab.tracking.record import read_run
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun, SavedWeights


@dataclass(frozen=True)
class ExportedRun(OpenedRun):
    """A folder written by `lab export`.

    Attributes:
        manifest: What it holds.
    """

    manifest: ExportManifest

    @property
    def name(self) -> str:
        """The name of the run that was exported."""
        return self.manifest.run

    @property
    def metrics(self) -> NoReturn:
        """Raise: an export has the results of its run, in `record.result`, but no metrics.

        Raises:
            RecordError: Always.
        """
        raise self._lacks("no metrics of the training")

    def weights(self, checkpoint: Checkpoint = "last") -> SavedWeights:
        """Load the weights onto the CPU.

        Raises:
            RecordError: If another checkpoint is asked for, or the file cannot be read.
        """
        step, path = self.manifest.step, self.record.directory / WEIGHTS_FILE
        if checkpoint not in ("last", step):
            raise RecordError(
                f"{self.record.directory}: no checkpoint of step {checkpoint}; the export has the "
                f"weights after step {step} only"
            )
        try:
            return SavedWeights(step, load_file(path), path)
        except (OSError, SafetensorError) as error:
            raise RecordError(
                f"{path}: cannot be read: {reason_of(error)}; export the run again"
            ) from None

    def dataset(self) -> NoReturn:
        """Raise: an export has no data.

        Raises:
            RecordError: Always.
        """
        raise self._lacks("no data set")

    def _lacks(self, what: str) -> RecordError:
        return RecordError(
            f"{self.record.directory}: an export has {what}; open the run {self.name} in the "
            "workspace that trained it"
        )

    def _default_device(self) -> str:
        return "auto"

    def _stored_tokenizer(self, data: TextData) -> Tokenizer:
        name = exported_tokenizer_name(data.tokenizer)
        return load_tokenizer(data.tokenizer, self.record.directory / name)


def open_export(folder: Path) -> ExportedRun:
    """Open an export, after checking the hash of every file; then its plugins are loaded.

    Raises:
        RecordError: If a file is missing or damaged, or the format is newer than this code.
        ConfigError: If its configuration does not fit the schema, or a plugin cannot be loaded.
    """
    folder = folder.resolve()
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    load_exported_plugins(folder, manifest.plugins)
    record = read_run(folder)
    if record.run_hash != manifest.run_hash:
        raise RecordError(
            f"{folder}: the configuration has the identity {record.run_hash[:12]}, but "
            f"{MANIFEST_FILE} records {manifest.run_hash[:12]}: this code reads it differently; "
            "use the version of switchhead_lab that wrote the export"
        )
    return ExportedRun(record, manifest)
