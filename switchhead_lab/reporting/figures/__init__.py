"""Figures of the paper: ratios to dense, and attention maps."""
