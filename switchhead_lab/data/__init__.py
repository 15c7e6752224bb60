"""Text to batches: corpora, tokenizers, prepared tokens and the order they are read in."""
