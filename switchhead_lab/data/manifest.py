"""The manifest of prepared tokens: what was made, from what and by what."""

from typing import Literal

from switchhead_lab.config.data import TokenizerConfig
from switchhead_lab.config.part import Part
from switchhead_lab.data.documents import Split


class SplitManifest(Part):
    """One token file and what it holds."""

    sha256: str
    """SHA-256 of the token file."""
    n_documents: int
    """Documents, each of which ends with one end of document."""
    n_bytes: int
    """UTF-8 bytes of text."""
    n_tokens: int
    """Tokens, ends of document included."""


class UnigramPerplexity(Part):
    """Perplexity of a model that knows the frequency of tokens only: what any model must beat.

    exp of the mean negative log-likelihood of the split's tokens, the probabilities being the train
    split's counts plus one, normalised.
    """

    validation: float
    """Perplexity per token of the validation split."""
    test: float
    """Perplexity per token of the test split."""


class Manifest(Part):
    """Contents of manifest.json: what was prepared, from what and by what."""

    schema_version: Literal[1] = 1
    """Version of this file's layout."""
    corpus: str
    """Name of the corpus."""
    tokenizer: TokenizerConfig
    """Kind and size of the tokenizer."""
    max_train_tokens: int = 0
    """Limit on the tokens of the train split; 0 where there was none."""
    source_sha256: str
    """SHA-256 of the corpus's source."""
    skipped_lines: dict[str, int] = {}
    """Lines of the source that held no document and were skipped, by name of file."""
    warnings: list[str] = []
    """What was said on preparing: what was left out and why, what is odd about the splits."""
    tokenizer_sha256: str
    """SHA-256 of the tokenizer file."""
    splits: dict[Split, SplitManifest]
    """Token files by split."""
    unigram_perplexity: UnigramPerplexity
    """Perplexity that needs no context."""
    versions: dict[str, str]
    """Versions of what made the tokens."""
    created_at: str
    """Time of preparation, UTC, ISO 8601."""
