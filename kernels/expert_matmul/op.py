"""The matmul of every expert projection, and the choice of its backend.

The table of projections is in `slots.py`, the maths in `../README.md`.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from switchhead_kernels.expert_matmul import cpu, dense, reference
from switchhead_kernels.expert_matmul.custom_op import expert_matmul_op
from switchhead_kernels.expert_matmul.routing import Routing
from switchhead_kernels.expert_matmul.slots import Rows
from switchhead_kernels.native import build

Backend = Literal["reference", "dense", "sorted", "cpu", "triton"]
Precision = Literal["ieee", "tf32"]
# While few products are wasted, computing all experts costs less than sorting.
_DENSE_UP_TO, _DENSE_UP_TO_NARROW, _NARROW = 2.5, 5.0, 128


def expert_matmul(
    x: Tensor,
    weight_HEXY: Tensor,
    routing: Routing,
    gate_NHK: Tensor | None = None,
    *,
    rows_in: Rows,
    rows_out: Rows,
    backend: Backend | Literal["auto"] = "auto",
    deterministic: bool = True,
    precision: Precision = "ieee",
) -> Tensor:
    """Multiply rows with the weights of the experts they are routed to.

    Source: SwitchHead (arXiv:2312.07987), Eq. 8 to 10; sigma-MoE (arXiv:2310.10837), Eq. 11.

    Args:
        x: Shape [N, X], [N, H, X] or [N, H, K, X] by `rows_in`, any float dtype.
        weight_HEXY: Shape [H, E, X, Y], any float dtype; matmuls use that of `x`.
        routing: Experts chosen by each token and head.
        gate_NHK: Shape [N, H, K], any float dtype: factor of each product; by default 1.
        rows_in: What a slot's input row belongs to.
        rows_out: What a slot's product is added to.
        backend: "auto" uses `choose_backend`.
        deterministic: Equal inputs give equal bits; only "triton" supports False.
        precision: "tf32" rounds float32 inputs of matmuls to 10 bits; only "triton" supports it.

    Returns:
        Shape [N, Y], [N, H, Y] or [N, H, K, Y] by `rows_out`, dtype of `x`.

    Raises:
        ValueError: If the backend does not support these arguments.
    """
    if backend == "auto":
        backend = choose_backend(x, weight_HEXY, routing.index_NHK.shape[-1])
    _require_supported(backend, x, weight_HEXY, deterministic=deterministic, precision=precision)
    if backend in ("reference", "dense"):
        plain = reference if backend == "reference" else dense
        weight = weight_HEXY.to(x.dtype)
        return plain.expert_matmul(x, weight, routing.index_NHK, gate_NHK, rows_in, rows_out)
    by_order = (routing.order_S, routing.offset_G1) if backend != "cpu" else (None, None)
    out: Tensor = expert_matmul_op(
        x,
        weight_HEXY,
        routing.index_NHK,
        *by_order,
        gate_NHK,
        rows_in,
        rows_out,
        backend,
        deterministic,
        precision,
    )
    return out


def choose_backend(x: Tensor, weight_HEXY: Tensor, top_k: int) -> Backend:
    """Return the backend that "auto" uses.

    On CUDA "triton", for float32, float16 and bfloat16. On the CPU "cpu", for float32 and bfloat16,
    where it can be built. Else "dense" while few products are wasted (E / K up to 2.5, or up to 5
    for widths up to 128), and "sorted" beyond. On the meta device, where only costs are
    counted, "sorted", which like the fused kernels computes chosen experts only.

    Args:
        x: Rows, as given to `expert_matmul`.
        weight_HEXY: Weights, as given to `expert_matmul`.
        top_k: Experts chosen per token and head, K.
    """
    if x.device.type == "meta":
        return "sorted"
    if x.device.type == "cuda" and _triton_supports(x):
        return "triton"
    if cpu.supports(x, weight_HEXY) and not build.why_unavailable():
        return "cpu"
    share, width = weight_HEXY.shape[1] / top_k, max(weight_HEXY.shape[2:])
    limit = _DENSE_UP_TO_NARROW if width <= _NARROW else _DENSE_UP_TO
    return "dense" if share <= limit else "sorted"


def _triton_supports(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float16, torch.bfloat16)


def _require_supported(
    backend: str, x: Tensor, weight: Tensor, *, deterministic: bool, precision: str
) -> None:
    if backend not in get_args(Backend):
        raise ValueError(f'backend="{backend}"; use auto, {", ".join(get_args(Backend))}')
    if backend == "cpu" and not cpu.supports(x, weight):
        raise ValueError(
            f'backend="cpu" has no {x.dtype} rows with {weight.dtype} weights on '
            f'{x.device.type}; use backend="sorted"'
        )
    if backend == "cpu" and (reason := build.why_unavailable()):
        raise ValueError(f'backend="cpu": {reason}; use backend="sorted" or "dense"')
    if backend != "triton" and precision != "ieee":
        raise ValueError(f'precision="{precision}" is of backend="triton"; leave it out')
    if backend != "triton" and not deterministic:
        raise ValueError(f'backend="{backend}" is always deterministic; leave deterministic out')
