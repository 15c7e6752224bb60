"""Linear layers of few outputs, such as routers."""

from switchhead_kernels.narrow_linear.op import narrow_linear

__all__ = ["narrow_linear"]
