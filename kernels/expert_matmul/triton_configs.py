"""Tile sizes of the Triton kernels: all of them, those that fit, and the choice.

Deterministic calls choose by a rule of sizes alone, since tiles may round differently and measured
times never repeat. Otherwise Triton's autotuner measures them.

A tile is M x N in steps of K, as of any matmul. For the matmuls of rows, M counts slots,
N columns of the output and K columns of the input; for the weight gradient, M counts columns
of the input, N columns of the output and K slots.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
from triton import Config

# Programs that keep a large GPU busy: two for each of an H100's 132 multiprocessors.
_ENOUGH_PROGRAMS = 264
# Programs of the weight gradient mostly wait for their rows, so more of them hide the latency.
_ENOUGH_SPLIT_PROGRAMS = 1056
# Narrower tiles leave tensor cores idle, so narrower problems pad to this.
_NARROWEST = 64
_MOST_SPLITS = 32
# Devices with this much read operands of matmuls directly from shared memory (wgmma).
_SHARED_MEMORY_OF_WGMMA = 200_000


class LoopedConfig(Config):  # type: ignore[misc]
    """A tile whose program loops over all columns of its slots (`all_columns_kernel`)."""


def _config(
    m: int, n: int, k: int, num_warps: int, num_stages: int, kind: type[Config] = Config
) -> Config:
    blocks = {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k}
    return kind(blocks, num_warps=num_warps, num_stages=num_stages)


# Smallest first. Larger ones, or these with fewer warps, spill registers (`_fits_registers`).
MATMUL_CONFIGS = (
    _config(16, 64, 64, 4, 4),
    _config(32, 64, 64, 4, 4),
    _config(64, 64, 64, 4, 3),
    _config(64, 128, 64, 8, 3),
    _config(128, 64, 64, 4, 3),
    _config(128, 128, 32, 8, 4),
    _config(128, 128, 64, 8, 3),
    _config(128, 256, 64, 8, 3),
)
WEIGHT_GRADIENT_CONFIGS = (
    _config(64, 64, 32, 4, 3),
    _config(64, 64, 64, 4, 3),
    _config(128, 64, 32, 4, 3),
    _config(128, 64, 64, 4, 3),
    _config(256, 64, 64, 8, 3),
)
# Exact float32 matmuls keep their operands in registers, without tensor cores.
FLOAT32_MATMUL_CONFIGS = (
    _config(16, 64, 32, 4, 4),
    _config(32, 64, 32, 4, 4),
    _config(64, 64, 32, 8, 3),
    _config(64, 128, 32, 8, 3),
    _config(128, 64, 32, 8, 3),
)
FLOAT32_WEIGHT_GRADIENT_CONFIGS = (
    _config(64, 64, 16, 8, 3),
    _config(128, 64, 16, 8, 3),
)
# The interpreter's time depends on programs and steps, not their size; tests need a few tiles.
_INTERPRETED_BLOCKS = (32, 64, 32)
# Wider rows do not fit into shared memory beside tiles of weights.
_WIDEST_LOOPED = 128


@dataclass(frozen=True)
class Problem:
    """Everything the choice of a tile depends on.

    Attributes:
        height: Extent of M in one group; slots are counted by `bucket_of`.
        width: Extent of N.
        n_groups: Problems of this size that run together.
        itemsize: Bytes of an operand's element.
        shared_memory: Bytes available to a program.
        has_dots: Products are multiplied with other rows before they are stored.
        is_weight_gradient: The product is the weight gradient.
        depth: Extent of K; 0 for the weight gradient, whose K differs by group.
    """

    height: int
    width: int
    n_groups: int
    itemsize: int
    shared_memory: int
    has_dots: bool = False
    is_weight_gradient: bool = False
    depth: int = 0

    @property
    def has_wgmma(self) -> bool:
        """Whether operands are read from shared memory, which frees registers for sums."""
        return self.shared_memory >= _SHARED_MEMORY_OF_WGMMA

    @property
    def has_tail(self) -> bool:
        """Whether a width just above a tile's may take a narrow second tile (`tail_of`)."""
        # In the weight gradient's loop, Triton 3.6.0 compiles a second tile to out-of-bounds reads.
        return self.has_wgmma_rows and not self.is_weight_gradient

    @property
    def has_wgmma_rows(self) -> bool:
        """Whether operands are of 16 bits and read from shared memory."""
        return self.itemsize == 2 and (self.has_wgmma or is_interpreted())

    @property
    def looped_config(self) -> Config | None:
        """The tile of a program that computes all columns of its slots; None if none fits.

        It loads whole rows of x once. With narrow inputs, other tiles take a step or two, less
        than a program needs to find its slots and rows.
        """
        if not (self.has_wgmma_rows and self.depth):
            return None
        k = int(whole_step_of(self.depth))
        if k == _WIDEST_LOOPED:
            config = _config(128, 64, k, 8, 3, LoopedConfig)
        else:
            # Rows of dots take the registers of half the columns.
            n, num_stages = (64, 3) if self.has_dots else (128, 2)
            config = _config(64, n, k, 4, num_stages, LoopedConfig)
        is_wide = self.width > config.kwargs["BLOCK_N"]
        return config if k <= _WIDEST_LOOPED and is_wide else None

    def tail_of(self, block_n: int) -> int:
        """Return the columns of the narrow tile beside one of `block_n` columns; 0 for none."""
        return int(tail_of(self.width, block_n)) if self.has_tail else 0

    def n_blocks(self, config: Config) -> int:
        """Return how many programs share the columns of a tile's slots."""
        block_n = config.kwargs["BLOCK_N"]
        if isinstance(config, LoopedConfig) or self.tail_of(block_n):
            return 1
        return int(triton.cdiv(self.width, block_n))


@triton.constexpr_function  # type: ignore[untyped-decorator]
def tile_width(n_columns: int) -> int:
    """Return the narrowest tile of at least `n_columns` columns: a power of two, at least 16."""
    # `tl.dot` has no narrower operands.
    return max(16, 1 << max(0, n_columns - 1).bit_length())


@triton.constexpr_function  # type: ignore[untyped-decorator]
def tail_of(width: int, block_n: int) -> int:
    """Return the columns of a second, narrow tile beside one of `block_n` columns; 0 for none.

    A width just above a tile's, such as 76 or 132, would otherwise take two tiles.
    """
    rest = width - block_n
    return tile_width(rest) if 0 < rest <= 32 else 0


@triton.constexpr_function  # type: ignore[untyped-decorator]
def whole_step_of(depth: int) -> int:
    """Return the columns of the first of two tiles that hold a row of `depth` columns, or of one.

    A second tile holds the rest if both together are narrower than one.
    """
    widest = tile_width(depth)
    rest = depth - widest // 2
    return widest // 2 if widest > 16 and tile_width(rest) < widest // 2 else widest


def is_interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter, on the CPU."""
    return bool(triton.knobs.runtime.interpret)


def bucket_of(n_slots: int, n_groups: int) -> int:
    """Return slots per group as a power of two, so that a batch's exact size changes nothing."""
    return 1 << max(0, -(-n_slots // n_groups) - 1).bit_length()


def shared_memory_of(device: torch.device) -> int:
    """Return the bytes of shared memory available to a program; 0 under the interpreter."""
    return 0 if is_interpreted() else _shared_memory(device.index or 0)


@cache
def _shared_memory(device_index: int) -> int:
    utils = triton.runtime.driver.active.utils
    return int(utils.get_device_properties(device_index)["max_shared_mem"])


# Cached: the rule takes longer than a launch, and a step applies it in every layer.
@cache
def matmul_tiles(problem: Problem) -> tuple[Config, ...]:
    """Return the tiles that fit matmuls of rows, the rule's choice first."""
    configs, looped = matmul_configs(problem), problem.looped_config
    if looped and _suits(looped, problem):
        configs.append(looped)
    return _chosen_first(configs, problem)


@cache
def weight_gradient_tiles(problem: Problem) -> tuple[Config, ...]:
    """Return the tiles that fit the weight gradient, the rule's choice first."""
    configs = weight_gradient_configs(problem)
    if is_interpreted():
        return _chosen_first(configs, problem)
    # The largest tile always gives enough programs, since its slots are split.
    return (configs[-1], *configs[:-1])


def matmul_configs(problem: Problem) -> list[Config]:
    """Return the tiles that fit matmuls of rows, smallest first; at least one.

    Stages are reduced until they fit shared memory.
    """
    is_float32 = problem.itemsize == 4
    return _fitting(FLOAT32_MATMUL_CONFIGS if is_float32 else MATMUL_CONFIGS, problem)


def weight_gradient_configs(problem: Problem) -> list[Config]:
    """Return the tiles that fit the weight gradient, like `matmul_configs`."""
    is_float32 = problem.itemsize == 4
    configs = FLOAT32_WEIGHT_GRADIENT_CONFIGS if is_float32 else WEIGHT_GRADIENT_CONFIGS
    return _fitting(configs, problem)


def _sizes(config: Config) -> tuple[int, int, int]:
    m, n, k = (config.kwargs[f"BLOCK_{axis}"] for axis in "MNK")
    return m, n, k


def _fitting(configs: Sequence[Config], problem: Problem) -> list[Config]:
    staged = [_staged(config, problem) for config in configs]
    kept = [
        config
        for config in staged
        if config.num_stages > 1 and _suits(config, problem) and _fits_registers(config, problem)
    ]
    return kept or staged[:1]


def _staged(config: Config, problem: Problem) -> Config:
    m, n, k = _sizes(config)
    n_rows = m + n + problem.tail_of(n)
    affordable = problem.shared_memory // (n_rows * k * problem.itemsize)
    staged = copy(config)
    staged.num_stages = max(1, min(config.num_stages, affordable))
    return staged


def _suits(config: Config, problem: Problem) -> bool:
    """Return whether the problem fills a tile."""
    m, n, _ = _sizes(config)
    widest = max(_NARROWEST, triton.next_power_of_2(problem.width))
    if widest > 2 * _NARROWEST and problem.tail_of(widest // 2):
        widest //= 2
    return bool(m <= triton.next_power_of_2(problem.height) and n <= widest)


def _fits_registers(config: Config, problem: Problem) -> bool:
    """Return whether sums, the rows of dots, and operands fit registers, as found by compiling."""
    m, n, _ = _sizes(config)
    cells = m * (n + problem.tail_of(n)) * (2 if problem.has_dots else 1)
    if problem.itemsize == 4 and problem.has_dots and n > _NARROWEST:
        # Operands of exact float32 are in registers too.
        return False
    if problem.has_wgmma:
        # With dots: 128 x 128, a tail of 16 columns, and the other rows of both.
        return bool(cells <= (9 * 2**12 if problem.has_dots else 2**15))
    return bool(cells < 2**14)


def choose(configs: list[Config], problem: Problem) -> Config:
    """Return the largest tile that gives the GPU enough programs, else the smallest."""
    if is_interpreted():
        return _interpreted(problem)
    enough = [config for config in configs if n_programs(config, problem) >= _ENOUGH_PROGRAMS]
    return enough[-1] if enough else configs[0]


def _interpreted(problem: Problem) -> Config:
    """Return a small tile of the kind that the rule would choose from."""
    m, n, k = _INTERPRETED_BLOCKS
    if problem.is_weight_gradient:
        return _config(m, n, k, 4, 1)
    looped = problem.looped_config
    if looped is None:
        return _config(m, n, k, 4, 1)
    return _config(m, n, looped.kwargs["BLOCK_K"], 4, 1, LoopedConfig)


def _chosen_first(configs: list[Config], problem: Problem) -> tuple[Config, ...]:
    chosen = choose(configs, problem)
    return (chosen, *(config for config in configs if config is not chosen))


def n_programs(config: Config, problem: Problem) -> int:
    """Return how many programs compute the problem if its groups are of equal size."""
    m, _, _ = _sizes(config)
    tiles = triton.cdiv(problem.height, m) * problem.n_blocks(config)
    return int(tiles * problem.n_groups)


@cache
def n_splits(config: Config, problem: Problem, bucket: int) -> int:
    """Return the number of partial sums per group: a power of two up to 32.

    Args:
        config: Tile of the weight gradient.
        problem: The gradient's sizes.
        bucket: Slots per group, by `bucket_of`.
    """
    splits = 1
    while (
        splits < _MOST_SPLITS
        and splits * n_programs(config, problem) < _ENOUGH_SPLIT_PROGRAMS
        and 2 * splits * config.kwargs["BLOCK_K"] <= bucket
    ):
        splits *= 2
    return splits


def prune_matmuls(_configs: list[Config], _named: Any, **arguments: Any) -> list[Config]:
    """Return the configs to measure for a launch of the matmul kernel."""
    x = arguments["x_ptr"]
    problem = Problem(
        arguments["bucket"],
        arguments["WIDTH_OUT"],
        arguments["N_GROUPS"],
        x.element_size(),
        shared_memory_of(x.device),
        arguments["dot_ptr"] is not None,
        depth=arguments["WIDTH_IN"],
    )
    return matmul_configs(problem)
