"""Sizes, effort and peak speed shared by the parts that time expert matmuls."""

import functools

from switchhead_kernels.bench import DTYPES, Effort, matmul_peak
from switchhead_lab.benchmark.gpu.case import Context

# A batch of 64 chunks of 256 tokens; fewer leave a large GPU partly idle.
_N_TOKENS, _N_TOKENS_DRY = 16_384, 16
_EFFORT, _EFFORT_DRY = Effort(most=15, seconds=0.005), Effort.exactly(1)
_SIZES_DRY = (64,)


def n_tokens(context: Context) -> int:
    """Return the number of tokens in every timed matmul."""
    return _N_TOKENS_DRY if context.is_dry_run else _N_TOKENS


def effort(context: Context) -> Effort:
    """Return how long each matmul is timed."""
    return _EFFORT_DRY if context.is_dry_run else _EFFORT


def best_matmul(dtype: str, context: Context) -> float:
    """Return the speed of the best square matmul in GFLOP/s, measured once per process.

    Args:
        dtype: Key of `DTYPES`.
        context: Where to measure.
    """
    sizes = _SIZES_DRY if context.is_dry_run else None
    return _best_matmul(DTYPES[dtype], context.device, sizes)


_best_matmul = functools.cache(matmul_peak)
