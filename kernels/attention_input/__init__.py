"""An attention layer's input, exact and rounded, with a fused backward pass."""

from switchhead_kernels.attention_input.op import AttentionInput, attention_input

__all__ = ["AttentionInput", "attention_input"]
