"""Warnings about characters that a tokenizer has no token for."""

from switchhead_lab.data.tokenisation import TokenIds, Tokenizer
from switchhead_lab.terminal import tell


def warn_of_unknown(what: str, ids: TokenIds, tokenizer: Tokenizer) -> None:
    """Warn on stderr if a text has unknown characters, which all read as one token.

    Args:
        what: What the text is called.
        ids: Its tokens.
        tokenizer: The tokenizer that made them.
    """
    n_unknown = 0 if tokenizer.unknown is None else int((ids == tokenizer.unknown).sum())
    if n_unknown:
        tell(
            f"warning: {what}: {n_unknown:,} of {len(ids):,} tokens encode characters that the "
            "tokenizer does not know; likelihoods of such a text are too high"
        )
