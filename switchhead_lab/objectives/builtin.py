"""Imports the built-in objectives, which registers them."""

from switchhead_lab.objectives import classification, language_model

__all__ = ["classification", "language_model"]
