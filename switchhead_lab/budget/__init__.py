"""Parameters, MACs and memory of a configuration, and matching by them (free of torch)."""
