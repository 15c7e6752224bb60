"""Imports the objectives that come with the lab, which registers them."""

from switchhead_lab.objectives import classification, language_model

__all__ = ["classification", "language_model"]
