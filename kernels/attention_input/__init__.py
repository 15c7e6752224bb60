"""The forms of an attention layer's input, whose gradients are added up in one pass."""

from switchhead_kernels.attention_input.op import AttentionInput, attention_input

__all__ = ["AttentionInput", "attention_input"]
