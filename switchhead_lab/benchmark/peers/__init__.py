"""Training steps beside those of other implementations with the same shapes."""
