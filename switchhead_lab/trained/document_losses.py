"""Losses by document of a trained run: what a single seed can be compared by.

Letters: B batch, T chunk positions, N tokens of the split.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from switchhead_lab.data.batches import IGNORE, evaluation_token_batches
from switchhead_lab.data.token_store import TokenStore
from switchhead_lab.model.transformer import Memory
from switchhead_lab.tracking.document_losses import DocumentLosses
from switchhead_lab.tracking.record import ScoredSplit
from switchhead_lab.trained.run import TrainedRun


@torch.inference_mode()
def score_by_document(run: TrainedRun, split: ScoredSplit) -> DocumentLosses:
    """Score a split as in validation, and return the loss of each document.

    The losses add up to that of the split. A document may begin in the middle of a chunk, so it is
    predicted with the documents before it in sight, as in training.

    Args:
        run: A language model with a checkpoint.
        split: The split.

    Raises:
        RecordError: If the run is not a language model, or its checkpoint or data are unusable.
    """
    run.require_language_model()
    config, dataset, setup = run.config, run.dataset(), run.setup()
    assert isinstance(dataset, TokenStore), "text is stored as tokens"
    tokens = dataset.tokens(split)
    numbers = document_numbers(tokens, run.tokenizer().end_of_document)
    sizes = (config.training.batch_size, config.model.seq_len)
    model = run.model(setup.device.type)
    n_documents = int(numbers[-1]) + 1
    losses, n_targets = np.zeros(n_documents), np.zeros(n_documents, dtype=np.int64)
    memory: Memory = ()
    for batch, owners in zip(
        evaluation_token_batches(tokens, *sizes),
        evaluation_token_batches(numbers, *sizes),
        strict=True,
    ):
        inputs_BT, targets_BT = (
            torch.from_numpy(part).to(setup.device) for part in (batch.inputs_BT, batch.targets)
        )
        with torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.precision == "bf16"):
            output = model(inputs_BT, () if batch.starts_stream else memory)
            logits = output.logits_BTV.float().flatten(0, 1)
        memory = output.memory
        each = F.cross_entropy(logits, targets_BT.flatten(), ignore_index=IGNORE, reduction="none")
        owner = owners.targets.flatten()
        is_scored = owner != IGNORE
        np.add.at(losses, owner[is_scored], each.double().cpu().numpy()[is_scored])
        np.add.at(n_targets, owner[is_scored], 1)
    return DocumentLosses(n_targets=n_targets.tolist(), loss_nats=losses.tolist())


def document_numbers(tokens: NDArray[np.integer], end_of_document: int) -> NDArray[np.int64]:
    """Return the number of the document that each token belongs to, shape [N].

    The end of a document is its last token.
    """
    ends = np.cumsum(tokens == end_of_document)
    return np.concatenate([[0], ends[:-1]]).astype(np.int64)
