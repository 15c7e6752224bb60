"""Comparisons and tolerances shared by kernel tests."""

import torch

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}
"""RMS-relative errors of passes that round once."""
PROJECTIONS = {
    "value": ("token", "head"),
    "output": ("head", "token"),
    "up": ("token", "slot"),
    "down": ("slot", "token"),
}
"""What input and output rows belong to, by projection."""
SHARED_MEMORY = {"A100": 166912, "H100": 232448, "L4": 101376, "MI300": 65536}
"""Bytes of shared memory per program (CUDA C programming guide; CDNA 3 ISA)."""


def randn(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def rms_relative(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.detach().double().flatten(), b.detach().double().flatten()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> None:
    assert rms_relative(ours, theirs) < TOLERANCE[dtype]
