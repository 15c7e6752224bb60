"""Records of runs and sweeps on disk, and MLflow as an index over them."""
