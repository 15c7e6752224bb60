"""Which kernels compute a model, in words for records and `lab doctor`."""

import torch

from switchhead_kernels.expert_matmul import choose_backend
from switchhead_kernels.expert_matmul.cpu import bf16_products
from switchhead_kernels.native.build import (
    KernelUnavailableError,
    cache_dir,
    find_compiler,
    why_unavailable,
)

# Of the paper's 47M model: E / K is what the rule looks at.
_WIDTHS, _N_EXPERTS, _TOP_K = (412, 76), 5, 2


def describe_backend(device: torch.device, dtype: torch.dtype) -> str:
    """Return the backend that expert projections take, and why where it is a fallback.

    Args:
        device: Where they are computed.
        dtype: Type of their rows; weights are float32.
    """
    rows = torch.empty(1, _WIDTHS[0], dtype=dtype, device=device)
    weight = torch.empty(1, _N_EXPERTS, *_WIDTHS, device=device)
    backend = choose_backend(rows, weight, _TOP_K)
    if backend == "cpu" and dtype == torch.bfloat16:
        return f"cpu (products: {bf16_products()})"
    if backend in ("cpu", "triton"):
        return backend
    reason = why_unavailable() if device.type == "cpu" else f"no kernel for {device.type}"
    return f"dense or sorted, by shape ({reason or f'no kernel for {dtype}'})"


def describe_passes(device: torch.device) -> str:
    """Return how softmax, cross-entropy, ReLU and the like are computed, and why if not fused."""
    if device.type != "cpu":
        return "PyTorch's operators"
    reason = why_unavailable()
    return f"PyTorch's operators ({reason})" if reason else "fused C++"


def describe_build() -> dict[str, str]:
    """Return what the CPU kernel is built with and where it is kept."""
    try:
        cache = str(cache_dir())
    except KernelUnavailableError as error:
        cache = f"none: {error}"
    return {"compiler": find_compiler() or "none", "kernel_cache": cache}
