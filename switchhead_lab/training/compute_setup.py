"""The compute setup of a run: device, precision and CPU tuning.

Applied when a run starts, never on import; the settings are returned and recorded.
"""

import ctypes
import ctypes.util
import platform
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from switchhead_kernels.expert_matmul import choose_backend
from switchhead_kernels.expert_matmul.cpu import bf16_matmuls
from switchhead_kernels.native.build import why_unavailable
from switchhead_lab.errors import ConfigError

Precision = Literal["bf16", "fp32"]

# glibc's mallopt parameters (malloc.h).
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1
# Largest error of a float32 matmul that can be rounding: bf16 inputs give about 2e-3.
_FP32_ERROR_LIMIT = 1e-5
# Sizes of the paper's 47M model: the rule depends on E / K.
_WIDTHS, _N_EXPERTS, _TOP_K = (412, 76), 5, 2


@dataclass(frozen=True)
class ComputeSetup:
    """Device and precision of a run, and facts about them.

    Attributes:
        device: The torch device.
        precision: Precision of matmuls.
        facts: Plain data for the run's provenance.
    """

    device: torch.device
    precision: Precision
    facts: dict[str, Any]

    @property
    def description(self) -> str:
        """Device type and name, for tables."""
        return f"{self.device.type} ({self.facts['device_name']})"


def prepare_setup(
    device: str, precision: str, *, compiles_blocks: bool = False, captures_step: bool = False
) -> ComputeSetup:
    """Choose device and precision, and tune the CPU.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "bf16" or "fp32".
        compiles_blocks: Whether the run compiles its blocks.
        captures_step: Whether the run replays its steps as a CUDA graph.

    Raises:
        ConfigError: If the device is not available or does not support one of the options.
    """
    chosen = choose_device(device)
    if compiles_blocks and chosen.type == "cpu":
        raise ConfigError(
            "training.compile_blocks = true but the device is a CPU, where compiled blocks are no "
            "faster than the built-in kernels; remove it, or use a GPU"
        )
    if captures_step and chosen.type != "cuda":
        raise ConfigError(
            f"training.capture_step = true but the device is {chosen.type}; only CUDA has graphs; "
            "remove it"
        )
    resolved = _choose_precision(chosen, precision)
    facts: dict[str, Any] = {
        "device": chosen.type,
        "device_name": _device_name(chosen),
        "precision": resolved,
        "n_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "keeps_large_blocks": keep_large_blocks(),
        # Has no effect on a GPU, and makes `torch.get_float32_matmul_precision` raise.
        "onednn_fp32_matmul": chosen.type == "cpu" and use_onednn_for_fp32(),
        "expert_projections": describe_backend(
            chosen, torch.bfloat16 if resolved == "bf16" else torch.float32
        ),
        "fused_passes": describe_passes(chosen),
    }
    return ComputeSetup(chosen, resolved, facts)


def keep_large_blocks() -> bool:
    """Make glibc keep freed blocks instead of returning them to the system.

    Otherwise every tensor above 32 MiB is mapped and page-faulted anew, which costs more than the
    arithmetic on it.

    Returns:
        Whether the setting was accepted; False if the C library is not glibc.
    """
    if platform.system() != "Linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


def use_onednn_for_fp32() -> bool:
    """Send float32 matmuls to oneDNN where its result is true float32.

    oneDNN's kernels are up to twice as fast as the default library's on some CPUs, but the setting
    also permits bf16 arithmetic, which CPUs with matrix units then use. So the result is checked
    against float64, and the setting reverted if it is not float32.

    Returns:
        Whether oneDNN is used.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time
    settings.fp32_precision = "bf16"
    if _error_with_onednn() <= _FP32_ERROR_LIMIT:
        return True
    settings.fp32_precision = "none"
    return False


@cache
def _error_with_onednn() -> float:
    """Return the error once oneDNN is set; cached, since it is the processor's."""
    return fp32_matmul_error()


def fp32_matmul_error() -> float:
    """Return the relative error (Frobenius) of a float32 matmul against float64."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(512, 412, generator=generator)
    right = torch.randn(412, 76, generator=generator)
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).norm() / exact.norm())


def describe_backend(device: torch.device, dtype: torch.dtype) -> str:
    """Return the backend of expert projections, and the reason if it is a fallback.

    Args:
        device: Device of the computation.
        dtype: Type of the rows; weights are float32.
    """
    rows = torch.empty(1, _WIDTHS[0], dtype=dtype, device=device)
    weight = torch.empty(1, _N_EXPERTS, *_WIDTHS, device=device)
    backend = choose_backend(rows, weight, _TOP_K)
    if backend == "cpu" and dtype == torch.bfloat16:
        return f"cpu (matmuls: {bf16_matmuls()})"
    if backend in ("cpu", "triton"):
        return backend
    reason = why_unavailable() if device.type == "cpu" else f"no kernel for {device.type}"
    return f"dense or sorted, by shape ({reason or f'no kernel for {dtype}'})"


def describe_passes(device: torch.device) -> str:
    """Return how softmax, cross-entropy, ReLU and others are computed, and why if not fused."""
    if device.type != "cpu":
        return "PyTorch's operators"
    reason = why_unavailable()
    return f"PyTorch's operators ({reason})" if reason else "fused C++"


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device has native bf16 matmuls."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(
            capabilities.get("avx512_bf16")
            or capabilities.get("amx_bf16")
            or capabilities.get("bf16")
        )
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return False


def choose_device(name: str) -> torch.device:
    """Return a device by name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: If the device is not available.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name):
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise ConfigError(f'device "{name}" is not available here; use auto or one of: {there}')
    return torch.device(name)


def _choose_precision(device: torch.device, name: str) -> Precision:
    if name == "bf16":
        return "bf16"
    if name == "auto" and has_fast_bf16(device):
        return "bf16"
    return "fp32"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
