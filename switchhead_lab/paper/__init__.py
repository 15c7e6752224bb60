"""The paper's printed figures, as data."""
