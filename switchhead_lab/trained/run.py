"""A trained run as an object: configuration, record, metrics, model, tokenizer and data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from switchhead_lab.config.data import TextData
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.dataset import Dataset, open_dataset, require_recorded_data
from switchhead_lab.data.token_store import TokenStore
from switchhead_lab.data.tokenisation import TokenIds, Tokenizer
from switchhead_lab.errors import RecordError, WorkspaceError
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.file_names import CHECKPOINTS_DIR
from switchhead_lab.tracking.record import RunRecord, find_run, read_run
from switchhead_lab.training.checkpoint import find_checkpoint, load_checkpoint
from switchhead_lab.training.compute_setup import ComputeSetup, choose_device, prepare_setup
from switchhead_lab.training.layout import first_misfit, weights_of

if TYPE_CHECKING:
    import pandas as pd

Checkpoint = int | Literal["last"]
"""Optimiser steps done, or "last" for the newest checkpoint."""


@dataclass(frozen=True)
class TrainedRun:
    """A run of a workspace, finished or not.

    Attributes:
        record: Its record: labels, status, result, provenance.
        workspace: Workspace with its data.
    """

    record: RunRecord
    workspace: Workspace

    @property
    def name(self) -> str:
        """The run's name, as `lab runs list` shows it."""
        return self.record.name

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.record.config

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

    def model(self, device: str = "cpu", checkpoint: Checkpoint = "last") -> Transformer:
        """Return the model with the weights of a checkpoint, in evaluation mode.

        Args:
            device: "cpu", "cuda", "mps" or "auto".
            checkpoint: Checkpoint to load; the two newest are kept.

        Returns:
            A float32 model; `model(tokens_BT, memory)` gives logits and the next memory.

        Raises:
            ConfigError: If the device is not available.
            RecordError: If the checkpoint is missing, damaged or does not fit the model.
        """
        chosen = choose_device(device)
        config = self.config
        path = find_checkpoint(self.record.directory / CHECKPOINTS_DIR, checkpoint)
        _, tensors = load_checkpoint(path, self.record.run_hash)
        weights = weights_of(tensors)
        model = Transformer(config.model, config.vocab_size, config.n_outputs)
        fault = first_misfit(weights, model)
        if difference := sorted(weights.keys() ^ model.state_dict().keys()):
            fault = f"{difference[0]} is in only one of checkpoint and model"
        if fault:
            raise RecordError(
                f"{path}: does not fit the model built by this code: {fault}; use the code "
                "that the run was trained with"
            )
        model.load_state_dict(weights)
        return model.to(chosen).eval()

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

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the run's data.

        Raises:
            DataError: As `dataset`.
            RecordError: As `dataset`; also if the run's data are not text.
        """
        if not isinstance(self.config.data, TextData):
            raise RecordError(
                f"{self.name}: trained on generated {self.config.data.kind} examples, which have "
                "no tokenizer; name a run that was trained on text"
            )
        dataset = self.dataset()
        assert isinstance(dataset, TokenStore), "text is stored as tokens"
        return dataset.tokenizer()

    def require_language_model(self) -> None:
        """Raise unless the run predicts the next token.

        Raises:
            RecordError: If the run has another objective.
        """
        objective = self.config.objective
        if not objective.predicts_next_token:
            raise RecordError(
                f'{self.name}: objective.kind = "{objective.kind}", but a language model is '
                "needed; name a run without an [objective] table in its configuration"
            )

    def setup(self, device: str = "") -> ComputeSetup:
        """Return the device and precision to run the model as in its validation.

        Args:
            device: "auto", "cpu", "cuda" or "mps"; by default that of lab.toml.

        Raises:
            ConfigError: If the device is not available.
        """
        result, settings = self.record.result, self.workspace.on_device(device).settings
        precision = result.precision if result else self.config.training.precision
        return prepare_setup(settings.device, precision)


def open_run(reference: str | Path) -> TrainedRun:
    """Open a run by name, by the start of its hash, or by the path of its directory.

    Names and hashes are looked up in the workspace of the current folder (or `LAB_HOME`). A run
    given by path uses the workspace that contains its directory, if any.

    Raises:
        RecordError: If no run or several match, or its files are damaged.
        WorkspaceError: If there is no workspace.
        ConfigError: If its configuration no longer fits the schema.
    """
    path = Path(reference)
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
