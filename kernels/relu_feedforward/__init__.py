"""Two linear layers with ReLU and dropout between them."""

from switchhead_kernels.relu_feedforward.op import relu_feedforward

__all__ = ["relu_feedforward"]
