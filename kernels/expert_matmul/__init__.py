"""Rows routed to experts: each row times the weights of its chosen experts, gated and summed."""

from switchhead_kernels.expert_matmul.op import Backend, choose_backend, expert_matmul
from switchhead_kernels.expert_matmul.routing import Routing, make_routing
from switchhead_kernels.expert_matmul.slots import Rows

__all__ = ["Backend", "Routing", "Rows", "choose_backend", "expert_matmul", "make_routing"]
