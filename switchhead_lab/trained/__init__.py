"""Trained runs as objects: their models, data and metrics, text from them, scores by them."""
