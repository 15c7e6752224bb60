"""The fused kernel for CPUs: gather, matmul, gate and sum in one pass (`expert_matmul.cpp`).

Letters: N tokens, H heads, K chosen per token and head, R rows of x, S slots, Q rows of the output,
G groups, X width in, Y width out.
"""

import ctypes

import torch
from torch import Tensor

from switchhead_kernels.expert_matmul.slots import Slots
from switchhead_kernels.native import library

_SUFFIXES = {
    (torch.float32, torch.float32): "float32",
    (torch.bfloat16, torch.bfloat16): "bfloat16",
    (torch.bfloat16, torch.float32): "bfloat16_float32",
}


class _Problem(ctypes.Structure):
    """Mirror of `Arguments` in slots.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n_slots", "n_groups", "width_in", "width_out")),
        *((name, ctypes.c_int64) for name in ("per_input", "per_output", "per_token")),
        *((name, ctypes.c_int64) for name in ("n_experts", "top_k")),
        ("index", ctypes.c_void_p),
        ("gate", ctypes.c_void_p),
        ("n_threads", ctypes.c_int64),
    ]


def supports(x: Tensor, weight: Tensor) -> bool:
    """Return whether the kernel supports these tensors: on the CPU, with their dtypes."""
    return x.device.type == "cpu" and (x.dtype, weight.dtype) in _SUFFIXES


def bf16_matmuls() -> str:
    """Return how this CPU computes bf16 matmuls: "amx", "avx512_bf16" or "float32"."""
    name: bytes = library.function("expert_matmul_bf16_products", (), ctypes.c_char_p)()
    return name.decode()


def forward(
    x_RX: Tensor, weight_GXY: Tensor, index_NHK: Tensor, gate_S: Tensor | None, slots: Slots
) -> Tensor:
    """Return the summed products, shape [S / per_output, Y], in the dtype of `x`."""
    x_RX, weight_GXY = x_RX.contiguous(), weight_GXY.contiguous()
    out = x_RX.new_empty(index_NHK.numel() // slots.per_output, weight_GXY.shape[2])
    problem = _problem(weight_GXY, index_NHK, gate_S, slots)
    _call("forward", problem, x_RX, weight_GXY, out)
    return out


def backward(
    grad_QY: Tensor,
    x_RX: Tensor,
    weight_GXY: Tensor,
    index_NHK: Tensor,
    gate_S: Tensor | None,
    slots: Slots,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and gate (empty without gates)."""
    x_RX, weight_GXY = x_RX.contiguous(), weight_GXY.contiguous()
    grad_QY = grad_QY.contiguous()
    problem = _problem(weight_GXY, index_NHK, gate_S, slots)
    grad_x, grad_weight = torch.empty_like(x_RX), torch.empty_like(weight_GXY)
    grad_gate = torch.empty(0 if gate_S is None else gate_S.shape[0], dtype=torch.float32)
    _call("backward", problem, x_RX, weight_GXY, grad_QY, grad_x, grad_weight, grad_gate)
    return grad_x, grad_weight, grad_gate


def _problem(
    weight_GXY: Tensor, index_NHK: Tensor, gate_S: Tensor | None, slots: Slots
) -> tuple[_Problem, list[Tensor]]:
    """Return a problem's struct, and the tensors it points to, which must outlive it."""
    kept = [index_NHK.contiguous()]
    if gate_S is not None:
        kept.append(gate_S.float().contiguous())
    n_heads, top_k = index_NHK.shape[1:]
    problem = _Problem(
        *(index_NHK.numel(), *weight_GXY.shape),
        *(slots.per_input, slots.per_output, slots.per_token),
        *(weight_GXY.shape[0] // n_heads, top_k),
        *(tensor.data_ptr() for tensor in kept),
    )
    problem.n_threads = torch.get_num_threads()
    return problem, kept


def _call(name: str, problem: tuple[_Problem, list[Tensor]], *tensors: Tensor) -> None:
    suffix = _SUFFIXES[tensors[0].dtype, tensors[1].dtype]
    types = (ctypes.POINTER(_Problem), *([ctypes.c_void_p] * len(tensors)))
    function = library.function(f"expert_matmul_{name}_{suffix}", types, ctypes.c_bool)
    if not function(problem[0], *(tensor.data_ptr() for tensor in tensors)):
        raise IndexError(f"an expert index is outside 0..{problem[0].n_experts - 1}")
