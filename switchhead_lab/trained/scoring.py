"""Scores of texts by a language model, computed as in validation."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from switchhead_lab.data.batches import evaluation_token_batches
from switchhead_lab.data.documents import Document
from switchhead_lab.data.encoding import encode_documents
from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives.metrics import BITS_PER_BYTE, perplexity_of
from switchhead_lab.terminal import tell
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun
from switchhead_lab.trained.run import warn_of_unknown
from switchhead_lab.training.scoring import ScoredModel, build_scorer
from switchhead_lab.training.validation import score_split


@dataclass(frozen=True)
class TextScore:
    """Scores of one text.

    Attributes:
        total_nats: Negative log-likelihood of all predicted tokens.
        nats_per_token: Its mean; equals the validation loss on the validation split.
        bits_per_byte: Negative log2-likelihood per UTF-8 byte of the text.
        perplexity_per_token: exp of the mean over predicted tokens.
        perplexity_per_word: exp of the mean over words; infinite on overflow.
        n_tokens: Predicted tokens, including ends of documents, without the first token.
        n_words: Words, separated by white space.
        n_bytes: UTF-8 bytes.
        n_documents: Documents, each followed by an end-of-document token.
    """

    total_nats: float
    nats_per_token: float
    bits_per_byte: float
    perplexity_per_token: float
    perplexity_per_word: float
    n_tokens: int
    n_words: int
    n_bytes: int
    n_documents: int


def score_documents(
    run: OpenedRun,
    documents: Iterable[Document],
    *,
    batch_size: int | None = None,
    device: str = "",
    checkpoint: Checkpoint = "last",
) -> TextScore:
    """Score texts as in the run's validation.

    The documents are joined, cut into `batch_size` streams of equal length, and read in chunks of
    `seq_len` with memory carried along each stream.

    Args:
        run: A language model.
        documents: At least one, not all empty.
        batch_size: Number of streams; by default the run's batch size, as in validation. With 1,
            every token is predicted from as much preceding text as the model can see.
        device: Device to compute on; by default that of lab.toml.
        checkpoint: Checkpoint to load.

    Raises:
        ConfigError: If `batch_size` is below 1 or the device is not available.
        DataError: If a document contains reserved tokens, or the tokenizer is missing.
        RecordError: If the run is not a language model, or its checkpoint or data are unusable.
        TrainingError: If the likelihood is not finite.
    """
    run.require_language_model()
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size = {batch_size}: use 1 or more")
    documents = list(documents)
    config, tokenizer = run.config, run.tokenizer()
    tokens, n_bytes = encode_documents(documents, tokenizer)
    warn_of_unknown("text", tokens, tokenizer)
    n_streams = batch_size or config.training.batch_size
    _warn_of_short_streams(len(tokens) - 1, n_streams, config.model.seq_len)
    setup = run.setup(device)
    batches = evaluation_token_batches(tokens, n_streams, config.model.seq_len)
    model = run.model(setup.device.type, checkpoint)
    totals = score_split(ScoredModel(model, build_scorer(config)), batches, setup).totals
    totals = replace(totals, n_bytes=n_bytes)
    bits_per_byte = BITS_PER_BYTE.value(totals)
    assert bits_per_byte is not None, "the text is not empty"
    total_nats, n_words = totals.loss_nats, count_words(documents)
    return TextScore(
        total_nats=total_nats,
        nats_per_token=totals.mean_loss_nats,
        bits_per_byte=bits_per_byte,
        perplexity_per_token=perplexity_of(totals.mean_loss_nats),
        perplexity_per_word=perplexity_of(total_nats / n_words) if n_words else math.inf,
        n_tokens=totals.n_targets,
        n_words=n_words,
        n_bytes=n_bytes,
        n_documents=len(documents),
    )


def count_words(documents: Sequence[Document]) -> int:
    """Return the number of words, separated by white space, in documents."""
    return sum(len(document.text.split()) for document in documents)


def _warn_of_short_streams(n_targets: int, n_streams: int, seq_len: int) -> None:
    if n_streams > 1 and n_targets < n_streams * seq_len:
        tell(
            f"warning: {n_targets:,} tokens in {n_streams} streams, as in validation, are "
            f"fewer than a chunk of {seq_len} per stream; a batch size of 1 reads the text in one "
            "piece"
        )
