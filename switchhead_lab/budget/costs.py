"""MACs and memory of a model's blocks, in named conventions.

Figures are per layer and sequence, forward: multiply-accumulates, and floats saved for the backward
pass. `equations` are the formulas in the paper's text; `published` are those that reproduce the
figures in its tables. They differ, so every figure names its convention. The variants define the
formulas.
"""

from switchhead_lab.config.architecture import ModelConfig


def attention_macs(model: ModelConfig, convention: str) -> int:
    """Return the multiply-accumulates of one attention layer, one sequence, forward."""
    return model.attention.cost(model.layer, convention).macs


def attention_memory_floats(model: ModelConfig, convention: str) -> int:
    """Return the floats that one attention layer saves for the backward pass, one sequence."""
    return model.attention.cost(model.layer, convention).saved_floats


def feedforward_macs(model: ModelConfig, convention: str) -> int:
    """Return the multiply-accumulates of one feed-forward block, one sequence, forward."""
    return model.feedforward.cost(model.layer, convention).macs


TRAINING_FACTOR = 3.0
"""MACs of a training step over those of its forward pass: the backward pass costs twice as many."""


def forward_macs_per_token(model: ModelConfig, n_outputs: int) -> float:
    """Return the multiply-accumulates of the whole model per token, forward.

    For estimates of time, not for tables.
    """
    layer = model.layer
    macs = model.attention.approximate_macs(layer) + model.feedforward.approximate_macs(layer)
    return model.n_layers * macs / model.seq_len + model.d_model * n_outputs
