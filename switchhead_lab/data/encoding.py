"""Encodes documents into a token file, as they are read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from switchhead_lab.data.documents import CorpusDocument, blocks_of
from switchhead_lab.data.tokenisation import MAX_TRAINING_BYTES, TokenIds, Tokenizer
from switchhead_lab.errors import DataError
from switchhead_lab.tracking.atomic import write_error

TOKEN_DTYPE = np.dtype("<u2")
REPORT_EVERY = 2**26
"""Tokens between two reports of progress."""


@dataclass(frozen=True)
class EncodedSplit:
    """Counts of one encoded split.

    Attributes:
        token_counts: Shape [V], occurrences of each id.
        n_documents: Documents, the last of which may be cut.
        n_bytes: UTF-8 bytes of the text that the tokens encode.
    """

    token_counts: NDArray[np.int64]
    n_documents: int
    n_bytes: int

    @property
    def n_tokens(self) -> int:
        """Tokens, ends of document included."""
        return int(self.token_counts.sum())


def training_texts(documents: Iterable[CorpusDocument], *, is_limited: bool) -> Iterator[str]:
    """Yield the texts to train a tokenizer on, in blocks of whole lines.

    Args:
        documents: The training split.
        is_limited: Whether only the first tokens of the split are used; then only its first
            `MAX_TRAINING_BYTES` are yielded, so that the rest need not be read.
    """
    n_bytes = 0
    for document in documents:
        yield from document.blocks()
        n_bytes += document.n_bytes
        if is_limited and n_bytes >= MAX_TRAINING_BYTES:
            return


def write_tokens(
    path: Path,
    documents: Iterable[CorpusDocument],
    tokenizer: Tokenizer,
    *,
    max_tokens: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> EncodedSplit:
    """Write the tokens of documents, each followed by one end of document.

    Args:
        path: File to write.
        documents: Read once, in order, up to the limit.
        tokenizer: Tokenizer.
        max_tokens: Write exactly this many tokens, cutting the last document; 0 for all.
        report: Called with the progress every `REPORT_EVERY` tokens.

    Raises:
        DataError: If there is no document, fewer than `max_tokens` tokens, or an unusable text.
        StorageError: If the disk is full or fails.
        WorkspaceError: If the file cannot be written for another reason.
    """
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    n_documents = n_bytes = n_tokens = n_reports = 0
    try:
        with path.open("wb") as file:
            for document in documents:
                room = max_tokens - n_tokens if max_tokens else None
                for ids, n_block_bytes in _encode(document, tokenizer, room):
                    n_tokens += len(ids)
                    file.write(ids.astype(TOKEN_DTYPE).tobytes())
                    counts += np.bincount(ids, minlength=tokenizer.vocab_size)
                    n_bytes += n_block_bytes
                n_documents += 1
                if n_tokens >= (n_reports + 1) * REPORT_EVERY:
                    n_reports = n_tokens // REPORT_EVERY
                    report(f"encoded {n_tokens:,} tokens")
                if n_tokens == max_tokens:
                    break
    # Reading documents raises DataErrors, so an OSError is about the token file.
    except OSError as error:
        n_needed = max(max_tokens, n_tokens) * TOKEN_DTYPE.itemsize
        raise write_error(path, n_needed, error, at_least=not max_tokens) from None
    if not n_documents:
        raise DataError(f"the {path.stem} split holds no document")
    if n_tokens < max_tokens:
        raise DataError(
            f"max_train_tokens={max_tokens}, but the {path.stem} split has only {n_tokens} tokens; "
            "give more text, a smaller limit, or 0 for all"
        )
    return EncodedSplit(counts, n_documents, n_bytes)


def encode_documents(
    documents: Iterable[CorpusDocument], tokenizer: Tokenizer
) -> tuple[TokenIds, int]:
    """Return the tokens that `write_tokens` writes for whole documents, and their UTF-8 bytes.

    Raises:
        DataError: If a text holds a character that the tokenizer reserves.
    """
    parts = [part for document in documents for part in _encode(document, tokenizer, None)]
    return _joined(ids for ids, _ in parts), sum(n_bytes for _, n_bytes in parts)


def encode_text(text: str, tokenizer: Tokenizer) -> TokenIds:
    """Return the tokens of a text without an end of document, as they are within a document.

    Raises:
        DataError: If the text holds a character that the tokenizer reserves.
    """
    return _joined(tokenizer.encode(block) for block in blocks_of(text))


def unigram_perplexity(train_counts: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return the perplexity of tokens under the add-one-smoothed frequencies of train tokens.

    Args:
        train_counts: Shape [V], occurrences of each id in the train split.
        counts: Shape [V], occurrences of each id in the split to score; at least one.
    """
    smoothed = train_counts + 1.0
    nll_nats = -np.log(smoothed / smoothed.sum())
    return float(np.exp((counts * nll_nats).sum() / counts.sum()))


def _encode(
    document: CorpusDocument, tokenizer: Tokenizer, room: int | None
) -> Iterator[tuple[TokenIds, int]]:
    """Yield the ids of a document, at most `room` including its end, and bytes of their text.

    Encoding a text in blocks of whole lines gives the same tokens as encoding it at once.
    """
    for block in document.blocks():
        try:
            ids = tokenizer.encode(block)
        except DataError as error:
            raise DataError(f"document {document.id}: {error}") from None
        if room is not None and len(ids) > room - 1:
            cut = ids[: room - 1]
            yield cut, len(tokenizer.decode(cut).encode("utf-8"))
            break
        yield ids, len(block.encode("utf-8"))
        room = None if room is None else room - len(ids)
    yield np.array([tokenizer.end_of_document], dtype=np.uint16), 0


def _joined(parts: Iterable[TokenIds]) -> TokenIds:
    return np.concatenate([*parts, np.zeros(0, dtype=np.uint16)])
