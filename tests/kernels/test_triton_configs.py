"""The choice of tiles; runs no kernel and needs no driver."""

import itertools
from dataclasses import replace

from comparison import SHARED_MEMORY

from switchhead_kernels.expert_matmul import triton_configs as tiles

NARROW = next(config for config in tiles.MATMUL_CONFIGS if config.kwargs["BLOCK_N"] == 64)
WIDTHS = (64, 65, 80, 81, 96, 97)
A100, H100, MI300 = (SHARED_MEMORY[name] for name in ("A100", "H100", "MI300"))


def staged_bytes(config, itemsize: int) -> int:
    m, n, k = (config.kwargs[f"BLOCK_{axis}"] for axis in "MNK")
    return (m + n) * k * itemsize * config.num_stages


def test_some_tile_always_fits() -> None:
    sizes = itertools.product([1, 48, 4096], [16, 76, 412, 4096])
    devices = itertools.product([2, 4], [A100, H100, MI300], [False, True])
    for (height, width), (itemsize, memory, has_dots) in itertools.product(sizes, devices):
        problem = tiles.Problem(height, width, 10, itemsize, memory, has_dots)
        for configs in (tiles.matmul_configs(problem), tiles.weight_gradient_configs(problem)):
            assert configs, problem
            assert tiles.choose(configs, problem) in configs
            for config in configs:
                assert staged_bytes(config, itemsize) <= memory, (problem, config)
                assert config.kwargs["BLOCK_K"] >= 16  # the compiler's minimum


def tile(height: int, width: int, n_groups: int, memory: int = H100) -> tuple[int, ...]:
    problem = tiles.Problem(height, width, n_groups, 2, memory)
    config = tiles.choose(tiles.matmul_configs(problem), problem)
    return tuple(config.kwargs[f"BLOCK_{axis}"] for axis in "MNK")


def test_tiles_grow_with_the_problem() -> None:
    assert tile(8, 64, 10) == (16, 64, 64)
    assert tile(2048, 80, 10) == (64, 128, 64)
    assert tile(16384, 1024, 10) == (128, 256, 64)
    assert tile(16384, 1024, 10, A100) == (128, 64, 64)


def test_similar_batch_sizes_get_the_same_tile() -> None:
    assert {tiles.bucket_of(n_slots, 10) for n_slots in (10250, 16384, 20480)} == {2048}
    assert tiles.bucket_of(0, 10) == 1


def test_splits_fill_the_gpu_and_are_never_empty() -> None:
    (config, *_) = tiles.weight_gradient_configs(tiles.Problem(416, 80, 10, 2, H100))
    few, many = (tiles.Problem(416, 80, n_groups, 2, H100) for n_groups in (2, 512))
    assert tiles.n_splits(config, many, 4096) == 1
    assert tiles.n_splits(config, few, 4096) == 32
    assert tiles.n_splits(config, few, 64) == 2
    assert tiles.n_splits(config, few, 1) == 1


def test_widths_just_above_a_tile_get_a_narrow_second_tile() -> None:
    problems = {width: tiles.Problem(16384, width, 10, 2, H100) for width in WIDTHS}
    covered = {width: (x.tail_of(64), x.n_blocks(NARROW)) for width, x in problems.items()}
    assert covered == {64: (0, 1), 65: (16, 1), 80: (16, 1), 81: (32, 1), 96: (32, 1), 97: (0, 2)}
    assert tile(16384, 132, 16) == (128, 128, 64)
    for other in (replace(problems[80], itemsize=4), replace(problems[80], shared_memory=A100)):
        assert (other.tail_of(64), other.n_blocks(NARROW)) == (0, 2)


def test_narrow_inputs_get_programs_that_compute_all_columns() -> None:
    """The paper's d_head of 76, 112 and 132, alone or with a second tile for the rest of a row."""
    for depth, first in ((76, 64), (112, 128), (128, 128), (132, 128), (41, 32), (16, 16)):
        problem = tiles.Problem(16384, 1024, 10, 2, H100, depth=depth)
        looped = tiles.matmul_tiles(problem)[0]
        assert isinstance(looped, tiles.LoopedConfig), depth
        assert looped.kwargs["BLOCK_K"] == first
        assert problem.n_blocks(looped) == 1
    for other in (
        replace(problem, depth=412),
        replace(problem, width=64),
        replace(problem, itemsize=4),
        replace(problem, shared_memory=A100),
        # Too few programs without sharing the columns.
        replace(problem, height=64),
    ):
        assert not isinstance(tiles.matmul_tiles(other)[0], tiles.LoopedConfig), other
