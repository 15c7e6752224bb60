"""Paths and contents of recorded benchmarks (does not import torch)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.record_files import read_json
from switchhead_lab.tracking.sweep_record import sweep_id

STEP_MODES = ("eager", "captured", "compiled", "compiled and captured")
"""Modes in which the GPU command times a training step; keys of a case's findings."""

EVALUATION_BENCH_NAME = "evaluation"
"""File name, without suffix, of what evaluations cost."""
WORKERS_BENCH_NAME = "workers"
"""File name, without suffix, of how busy a sweep keeps its workers."""


def bench_dir(reports_dir: Path) -> Path:
    """Return the folder of all benchmarks."""
    return reports_dir / "bench"


def step_bench_name(sweep: Sweep) -> str:
    """Return the file name, without suffix, of a sweep's step benchmark."""
    return f"step-{sweep_id(sweep)}"


def neighbour_bench_name(sweep: Sweep) -> str:
    """Return the file name, without suffix, of a sweep's steps beside a busy process."""
    return f"neighbour-{sweep_id(sweep)}"


def peer_bench_name(sweep: Sweep) -> str:
    """Return the file name, without suffix, of a sweep's models beside their peers."""
    return f"peers-{sweep_id(sweep)}"


def checkpoint_bench_name(sweep: Sweep) -> str:
    """Return the file name, without suffix, of what recording a sweep's runs costs."""
    return f"checkpoint-{sweep_id(sweep)}"


def step_bench_path(reports_dir: Path, sweep: Sweep) -> Path:
    """Return the path of a sweep's step benchmark."""
    return bench_dir(reports_dir) / f"{step_bench_name(sweep)}.json"


def read_step_bench(reports_dir: Path, sweep: Sweep) -> dict[str, Any] | None:
    """Return a sweep's step benchmark as recorded; None if there is none.

    Raises:
        RecordError: If the file is damaged.
    """
    path = step_bench_path(reports_dir, sweep)
    if not path.is_file():
        return None
    data: dict[str, Any] = read_json(path)
    return data


def step_id(model: ModelConfig, vocab_size: int, n_outputs: int, batch_size: int) -> str:
    """Return the identity of a training step: a hash of what its time and memory depend on.

    Args:
        model: Architecture.
        vocab_size: Number of input tokens.
        n_outputs: Width of the output layer.
        batch_size: Sequences per step.
    """
    return hash_of([model.model_dump(mode="json"), vocab_size, n_outputs, batch_size])[:16]


def gpu_dir(reports_dir: Path) -> Path:
    """Return the folder of recorded runs of the GPU command, one subfolder per card."""
    return reports_dir / "gpu"


def read_gpu_runs(reports_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path and contents of each recorded run of the GPU command, without dry runs.

    Raises:
        RecordError: If a file is damaged.
    """
    for path in sorted(gpu_dir(reports_dir).glob("*/gpu.json")):
        results: dict[str, Any] = read_json(path)
        if not results.get("is_dry_run"):
            yield path, results
