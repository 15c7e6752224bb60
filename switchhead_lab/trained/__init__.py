"""Trained runs as Python objects: models, data, metrics, text generation and scoring."""
