"""How well a language model predicts a text, computed as validation is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from switchhead_lab.data.batches import evaluation_token_batches
from switchhead_lab.data.documents import Document
from switchhead_lab.data.encoding import encode_documents
from switchhead_lab.errors import ConfigError
from switchhead_lab.objectives.metrics import BITS_PER_BYTE, perplexity_of
from switchhead_lab.terminal import tell
from switchhead_lab.trained.run import Checkpoint, TrainedRun, warn_of_unknown
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.validation import score_split


@dataclass(frozen=True)
class TextScore:
    """Figures of one text.

    Attributes:
        total_nats: Negative log-likelihood of all predicted tokens.
        nats_per_token: Its mean; the validation loss where the text is the validation split.
        bits_per_byte: Negative log2-likelihood per UTF-8 byte of the text.
        perplexity_per_token: exp of the mean over predicted tokens.
        perplexity_per_word: exp of the mean over words; infinite where that overflows.
        n_tokens: Predicted tokens: ends of document included, the very first token left out.
        n_words: Words, which white space separates.
        n_bytes: UTF-8 bytes.
        n_documents: Documents, each of which ends with one end of document.
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
    run: TrainedRun,
    documents: Iterable[Document],
    *,
    batch_size: int | None = None,
    device: str = "",
    checkpoint: Checkpoint = "last",
) -> TextScore:
    """Score texts as the run's validation scored its split.

    The documents are joined, cut into `batch_size` streams of equal length, and read in chunks of
    `seq_len` with memory carried along each stream.

    Args:
        run: A language model.
        documents: At least one, with text.
        batch_size: Streams; the run's own where None, as in validation. With 1 every token is
            predicted from all the text that the model can see.
        device: Device to compute on; that of lab.toml where empty.
        checkpoint: Which weights.

    Raises:
        ConfigError: If `batch_size` is below 1 or the device is not there.
        DataError: If a document holds what the tokenizer reserves, or the tokenizer is gone.
        RecordError: If the run is no language model, or its checkpoint or data are unusable.
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
    totals = score_split(model, build_scorer(config), batches, setup).totals
    totals = replace(totals, n_bytes=n_bytes)
    bits_per_byte = BITS_PER_BYTE.value(totals)
    assert bits_per_byte is not None, "a text has bytes"
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
    """Return the words of documents: what white space separates."""
    return sum(len(document.text.split()) for document in documents)


def _warn_of_short_streams(n_targets: int, n_streams: int, seq_len: int) -> None:
    if n_streams > 1 and n_targets < n_streams * seq_len:
        tell(
            f"warning: {n_targets:,} tokens in {n_streams} streams, as in validation, are fewer "
            f"than the chunk of {seq_len} that the model can see; a batch size of 1 reads the text "
            "in one piece"
        )
