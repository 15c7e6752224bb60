"""Figures: with `plots.py` the only files that import matplotlib."""
