"""Files that `lab export --format hf` copies; they import torch and transformers, never the lab."""
