"""The speed of a large dense product, which no other work exceeds by much."""

import torch

from switchhead_kernels.bench.timing import Effort, interleave, warm_up

# Large enough to fill the device; on a CPU the fastest may be one that fits its caches.
_SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
_SIZES_ELSEWHERE = (2048, 4096)


def matmul_peak(
    dtype: torch.dtype, device: torch.device, sizes: tuple[int, ...] | None = None
) -> float:
    """Return the best speed of square products, in GFLOP/s.

    Args:
        dtype: Type of both factors.
        device: Where they are multiplied.
        sizes: Rows and columns to try; by the kind of device if left out.
    """
    sizes = sizes or _SIZES.get(device.type, _SIZES_ELSEWHERE)
    factors = {size: torch.randn(2, size, size).to(device, dtype) for size in sizes}
    calls = {
        str(size): warm_up(lambda pair=pair: pair[0] @ pair[1], device)
        for size, pair in factors.items()
    }
    seconds = interleave(calls, Effort())
    return max(2e-9 * int(size) ** 3 / min(times) for size, times in seconds.items())
