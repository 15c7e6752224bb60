"""Output of `lab score`."""

from typing import TYPE_CHECKING

from switchhead_lab.terminal_table import Table

if TYPE_CHECKING:
    from switchhead_lab.trained.scoring import TextScore


def score_table(run_name: str, score: "TextScore") -> Table:
    """Return the likelihood of a text in several units, and its sizes."""
    rows = [
        ("nats in total", f"{score.total_nats:,.2f}"),
        ("nats per token", f"{score.nats_per_token:.6f}"),
        ("bits per byte", f"{score.bits_per_byte:.6f}"),
        ("perplexity per token", f"{score.perplexity_per_token:,.3f}"),
        ("perplexity per word", f"{score.perplexity_per_word:,.5g}"),
        ("tokens predicted", f"{score.n_tokens:,}"),
        ("words", f"{score.n_words:,}"),
        ("bytes", f"{score.n_bytes:,}"),
        ("documents", f"{score.n_documents:,}"),
    ]
    return Table(run_name, ("figure", "value"), rows)
