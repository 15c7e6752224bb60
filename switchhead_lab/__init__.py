"""Fair, repeatable comparisons of mixture-of-experts Transformers with dense ones."""

__version__ = "0.1.0"
