"""Benchmarks: timing the training step of a sweep's models, and recording results."""
