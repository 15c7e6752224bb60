"""Timings: the whole training step of a sweep's models, and where they are written down."""
