"""The speed of a large dense matmul: the practical peak of a device."""

import torch

from switchhead_kernels.bench.timing import Effort, interleave, warm_up

# Large enough to fill a GPU; on a CPU one that fits the caches may be fastest.
_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
_SIZES_ELSEWHERE = (2048, 4096)
# Without a fast kernel for a type, devices fall back to one thousands of times slower.
_SLOW_SECONDS = 0.5


def matmul_peak(
    dtype: torch.dtype, device: torch.device, sizes: tuple[int, ...] | None = None
) -> float:
    """Return the best speed of square matmuls, in GFLOP/s.

    Args:
        dtype: Dtype of both operands.
        device: Where they are multiplied.
        sizes: Rows and columns to try, ascending; by default those of the device type. Sizes after
            the first that takes longer than half a second are skipped.
    """
    calls = {}
    for size in sizes or _SIZES.get(device.type, _SIZES_ELSEWHERE):
        left, right = torch.randn(2, size, size, device=device).to(dtype)
        calls[str(size)] = timed = warm_up(lambda x=left, y=right: x @ y, device)
        if timed() > _SLOW_SECONDS:
            break
    seconds = interleave(calls, Effort(seconds=0.02 if device.type == "cuda" else 0.1))
    return max(2e-9 * int(size) ** 3 / min(times) for size, times in seconds.items())
