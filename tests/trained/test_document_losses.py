"""Losses by document add up to the recorded loss of the split."""

import json
from pathlib import Path

import numpy as np
import pytest

from switchhead_lab.data.token_store import register
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.document_losses import (
    DocumentLosses,
    losses_path,
    read_document_losses,
    write_document_losses,
)
from switchhead_lab.trained.document_losses import document_numbers, score_by_document


@pytest.fixture
def documents(workspace, tmp_path: Path) -> str:
    """Register a corpus of many short documents; return its name."""
    folder = tmp_path / "many"
    folder.mkdir()
    for split, n_documents in (("train", 80), ("validation", 7), ("test", 5)):
        texts = [f"{'lamp river ' * (n % 3 + 1)}{n}" for n in range(n_documents)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    register(workspace.data_dir, folder, "many")
    return "many"


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
@pytest.mark.parametrize(("split", "n_documents"), [("validation", 7), ("test", 5)])
def test_losses_add_up_to_the_recorded_loss(train, documents, attention, split, n_documents):
    run = train(attention, data={"corpus": documents})
    losses = score_by_document(run, split)
    assert len(losses.n_targets) == len(losses.loss_nats) == n_documents
    # The first token of the split is no target.
    assert sum(losses.n_targets) == len(run.dataset().tokens(split)) - 1
    assert run.record.result is not None
    recorded = getattr(run.record.result, split)["loss_nats"]
    assert sum(losses.loss_nats) / sum(losses.n_targets) == pytest.approx(recorded, rel=1e-6)


def test_the_end_of_a_document_is_its_last_token() -> None:
    tokens = np.array([5, 6, 0, 7, 0, 0, 8, 0], dtype=np.uint16)
    assert document_numbers(tokens, 0).tolist() == [0, 0, 0, 1, 1, 2, 3, 3]


def test_losses_are_recorded_beside_the_run(tmp_path: Path) -> None:
    assert read_document_losses(tmp_path, "validation") is None
    losses = DocumentLosses(n_targets=[2, 3], loss_nats=[1.5, 2.5])
    write_document_losses(tmp_path, "validation", losses)
    assert read_document_losses(tmp_path, "validation") == losses
    assert read_document_losses(tmp_path, "test") is None
    losses_path(tmp_path, "validation").write_text("{")
    with pytest.raises(RecordError, match="damaged"):
        read_document_losses(tmp_path, "validation")
