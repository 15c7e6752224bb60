"""Zero-shot evaluation: the documents of its tasks."""
