"""Rotation of queries and keys by their position (RoPE)."""

from switchhead_kernels.rotation.op import rotate

__all__ = ["rotate"]
