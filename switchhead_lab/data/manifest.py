"""The manifest of prepared tokens: contents, source and tool versions."""

from typing import Literal

from switchhead_lab.config.data import TokenizerConfig
from switchhead_lab.data.documents import Split
from switchhead_lab.frozen_model import FrozenModel


class SplitManifest(FrozenModel):
    """One token file and its contents."""

    sha256: str
    """SHA-256 of the token file."""
    n_documents: int
    """Documents, each followed by one end of document."""
    n_bytes: int
    """UTF-8 bytes of text."""
    n_tokens: int
    """Tokens, ends of document included."""


class UnigramPerplexity(FrozenModel):
    """Perplexity of the unigram model, which every model must beat.

    exp of the mean negative log-likelihood of the split's tokens, with add-one-smoothed frequencies
    of the train split.
    """

    validation: float
    """Perplexity per token of the validation split."""
    test: float
    """Perplexity per token of the test split."""


class Manifest(FrozenModel):
    """Contents of manifest.json: the prepared tokens, their source and tool versions."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    corpus: str
    """Name of the corpus."""
    tokenizer: TokenizerConfig
    """Kind and size of the tokenizer."""
    max_train_tokens: int = 0
    """Limit on the tokens of the train split; 0 for none."""
    source_sha256: str
    """SHA-256 of the corpus's source."""
    skipped_lines: dict[str, int] = {}
    """Number of skipped lines without a document, by file name."""
    warnings: list[str] = []
    """Warnings of the preparation: ignored files, unusual splits."""
    tokenizer_sha256: str
    """SHA-256 of the tokenizer file."""
    splits: dict[Split, SplitManifest]
    """Token files by split."""
    unigram_perplexity: UnigramPerplexity
    """Perplexity without context."""
    versions: dict[str, str]
    """Versions of Python and the packages that made the tokens."""
    created_at: str
    """Time of preparation, UTC, ISO 8601."""
