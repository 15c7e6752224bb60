"""Losses of the documents of a split, recorded beside a run."""

import json
from pathlib import Path

from pydantic import Field

from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.record import ScoredSplit
from switchhead_lab.tracking.record_files import read_model


class DocumentLosses(FrozenModel):
    """Losses of every document of a split, in the order of the split."""

    n_targets: list[int] = Field(min_length=1)
    """Predicted tokens of each document, its end included."""
    loss_nats: list[float]
    """Summed loss of each document in nats."""


def losses_path(directory: Path, split: ScoredSplit) -> Path:
    """Return the file of a run's losses by document."""
    return directory / f"documents-{split}.json"


def write_document_losses(directory: Path, split: ScoredSplit, losses: DocumentLosses) -> None:
    """Write the losses of a run's documents."""
    text = json.dumps(losses.model_dump(mode="json"))
    write_text(losses_path(directory, split), text + "\n")


def read_document_losses(directory: Path, split: ScoredSplit) -> DocumentLosses | None:
    """Return the losses of a run's documents; None if they are not recorded.

    Raises:
        RecordError: If the file is damaged.
    """
    path = losses_path(directory, split)
    return read_model(DocumentLosses, path) if path.is_file() else None
