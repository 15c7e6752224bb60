"""Attention with content and relative-position scores."""

from switchhead_kernels.relative_attention.op import attend_relative
from switchhead_kernels.relative_attention.reference import shift_to_keys

__all__ = ["attend_relative", "shift_to_keys"]
