"""The dataset interface that training uses, and opening the data of a run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from switchhead_lab.config.data import DataConfig, TextData
from switchhead_lab.data.batches import Batch
from switchhead_lab.data.documents import Split
from switchhead_lab.data.example_store import prepare_examples
from switchhead_lab.data.token_store import prepare
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.record import RunRecord


class TrainingBatches(Protocol):
    """Endless batches for training, each a function of its step."""

    def at(self, step: int) -> Batch:
        """Return the batch of a step, from 0."""


class Dataset(Protocol):
    """Prepared data in three splits."""

    @property
    def path(self) -> Path:
        """Folder of the prepared files."""

    @property
    def digest(self) -> str:
        """SHA-256 over all contents; equal contents have equal digests."""

    def describe(self) -> dict[str, Any]:
        """Return the manifest and the digest as plain data, for provenance."""

    def verify(self) -> None:
        """Check the hash of every file.

        Raises:
            DataError: If a file is missing or differs from the manifest.
        """

    def n_bytes(self, split: Split) -> int | None:
        """Return the UTF-8 bytes of a split's text; None if the data are not text."""

    def training_batches(self, batch_size: int, seq_len: int, seed: int) -> TrainingBatches:
        """Return the batches of the training split.

        Raises:
            DataError: If the split does not fill one batch.
        """

    def evaluation_batches(self, split: Split, batch_size: int, seq_len: int) -> Iterator[Batch]:
        """Yield batches in which every target of a split occurs once."""


def open_dataset(
    data_dir: Path, data: DataConfig, *, progress: Callable[[str], None] | None = None
) -> Dataset:
    """Open prepared data, preparing them first if needed.

    Args:
        data_dir: The workspace's folder of prepared data.
        data: Configuration of the data.
        progress: Called with a short text at the start of each stage.

    Raises:
        DataError: If the data cannot be prepared.
        WorkspaceError: If the data folder cannot be written.
    """
    if isinstance(data, TextData):
        return prepare(data_dir, data, progress=progress)
    return prepare_examples(data_dir, data, progress=progress)


def require_recorded_data(run: RunRecord, dataset: Dataset) -> None:
    """Reject data whose contents differ from those that a run was started on.

    Raises:
        RecordError: If the digests differ.
    """
    known: dict[str, Any] = run.provenance.get("data_manifest") or {}
    if known.get("digest", dataset.digest) != dataset.digest:
        raise RecordError(
            f'{run.directory}: trained on different contents of corpus "{run.config.data.corpus}" '
            f"(digest {known['digest'][:12]}, now {dataset.digest[:12]}); remove the run or "
            "prepare the new text under another name"
        )
