"""A trained run as an object: configuration, record, metrics, model, tokenizer and data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from switchhead_lab.config.data import TextData
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.dataset import Dataset, open_dataset, require_recorded_data
from switchhead_lab.data.token_store import TokenStore
from switchhead_lab.data.tokenisation import TokenIds, Tokenizer
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.export.manifest import is_export
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR
from switchhead_lab.tracking.record import find_run, read_run
from switchhead_lab.trained.exported_run import open_export
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun, SavedWeights
from switchhead_lab.training.checkpoint import find_checkpoint, load_checkpoint
from switchhead_lab.training.layout import weights_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainedRun(OpenedRun):
    """A run of a workspace, finished or not.

    Attributes:
        workspace: Workspace with its data.
    """

    workspace: Workspace

    @property
    def metrics(self) -> "pd.DataFrame":
        """The recorded metrics, read from disk at each access.

        Returns:
            One row per recorded step, in order. Columns: `step`, `tokens` (training tokens read),
            `time` (seconds since 1970), then one per metric, such as "train/loss_nats" and
            "validation/perplexity"; NaN if a step lacks it.

        Raises:
            RecordError: If the metrics file is damaged or unreadable.
        """
        import pandas as pd

        rows: dict[int, dict[str, float]] = {}
        for point in self.record.metrics():
            row = rows.setdefault(point.step, {"step": point.step})
            row |= {"tokens": point.tokens, "time": point.time, **point.metrics}
        frame = pd.DataFrame(rows.values())
        return frame if rows else pd.DataFrame(columns=["step", "tokens", "time"])

    def weights(self, checkpoint: Checkpoint = "last") -> SavedWeights:
        """Load the weights of a checkpoint onto the CPU; the two newest are kept.

        Raises:
            RecordError: If the checkpoint is missing or damaged.
        """
        path = find_checkpoint(self.record.directory / CHECKPOINTS_DIR, checkpoint)
        progress, tensors = load_checkpoint(path, self.record.run_hash)
        return SavedWeights(progress.step, weights_of(tensors), path)

    def dataset(self) -> Dataset:
        """Return the data that the run was trained on, preparing it again if missing.

        Returns:
            It has `training_batches(batch_size, seq_len, seed)`,
            `evaluation_batches(split, batch_size, seq_len)` and, for text, `tokens(split)`.

        Raises:
            DataError: If the data are missing and cannot be prepared.
            RecordError: If the data differ from those that the run was trained on.
        """
        dataset = open_dataset(self.workspace.data_dir, self.config.data, progress=tell)
        require_recorded_data(self.record, dataset)
        return dataset

    def _default_device(self) -> str:
        return self.workspace.settings.device

    def _stored_tokenizer(self, data: TextData) -> Tokenizer:  # noqa: ARG002
        dataset = self.dataset()
        assert isinstance(dataset, TokenStore), "text is stored as tokens"
        return dataset.tokenizer()


def open_run(reference: str | Path) -> OpenedRun:
    """Open a run by name, by the start of its hash, or by the path of its directory or export.

    Names and hashes are looked up in the workspace of the current folder (or `LAB_HOME`). A run
    given by path uses the workspace that contains its directory, if any. An export needs no
    workspace; opening it runs the plugins that it holds.

    Returns:
        A `TrainedRun`, or an `ExportedRun` if the path is that of an export.

    Raises:
        RecordError: If no run or several match, or its files are damaged.
        WorkspaceError: If there is no workspace.
        ConfigError: If its configuration no longer fits the schema.
    """
    path = Path(reference)
    if is_export(path):
        return open_export(path)
    if isinstance(reference, str) and path.name == reference:
        workspace = find_workspace()
        return TrainedRun(find_run(workspace.runs_dir, reference), workspace)
    workspace = _workspace_around(path)
    return TrainedRun(read_run(path.resolve()), workspace)


def _workspace_around(directory: Path) -> Workspace:
    try:
        return find_workspace(directory, environment={})
    except WorkspaceError:  # runs_dir is outside the folder of lab.toml
        return find_workspace()


def warn_of_unknown(what: str, ids: TokenIds, tokenizer: Tokenizer) -> None:
    """Warn on stderr about unknown characters, which all become the same token.

    Args:
        what: Name of the text in the warning.
        ids: Its tokens.
        tokenizer: The tokenizer that encoded it.
    """
    n_unknown = 0 if tokenizer.unknown is None else int((ids == tokenizer.unknown).sum())
    if n_unknown:
        tell(
            f"warning: {what}: {n_unknown:,} of {len(ids):,} tokens encode characters unknown "
            "to the tokenizer; the likelihood of the text is overestimated"
        )
