"""The language model and its variants."""
