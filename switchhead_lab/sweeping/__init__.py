"""Sweeps: declared models and searches, executed."""
