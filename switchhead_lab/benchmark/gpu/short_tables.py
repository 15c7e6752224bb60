"""Tables of the summary: the main figures of steps and products."""

from collections.abc import Callable
from typing import Any

from switchhead_lab.benchmark.gpu.tables_of_parts import (
    MISSING,
    Case,
    gigabytes,
    product_rows,
    ratio,
    relative_speed,
    step_rows,
)
from switchhead_lab.benchmark.table import Table


def _steps(cases: list[Case]) -> Table:
    """Tabulate the modes of each model side by side, with ratios over dense."""
    found: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for size, positions, model, mode, step in step_rows(cases):
        found.setdefault((size, positions, model), {})[mode] = step
    modes = list(dict.fromkeys(mode for steps in found.values() for mode in steps))
    headings = ["size", "positions", "model"]
    for mode in modes:
        headings += [f"{mode} ms", "/ dense", "GB"]
    rows = []
    for (size, positions, model), steps in found.items():
        row = [size, positions, model]
        for mode in modes:
            ours = steps.get(mode, {})
            dense = found.get((size, positions, "dense"), {}).get(mode)
            row += [f"{ours['ms']:.2f}" if ours else MISSING]
            row += [ratio(ours, dense, "ms"), gigabytes(ours)]
        rows.append(row)
    return headings, rows


def _products(cases: list[Case]) -> Table:
    """Tabulate the Triton kernels, relative to a matmul of the same MACs."""
    headings = ["projection", "shape", "k", "type", "fwd / mm", "% of best", "fwd+bwd / mm"]
    headings += ["% of best"]
    rows = []
    for names, timed in product_rows(cases):
        if "triton" in timed and "mm" in timed:
            triton, matmul = timed["triton"], timed["mm"]
            forward = relative_speed(triton["forward"], matmul["forward"])
            both = relative_speed(triton["forward_backward"], matmul["forward_backward"])
            rows.append([*names, *forward, *both])
    return headings, rows


SHORT_TABLES: dict[str, Callable[[list[Case]], Table]] = {
    "products": _products,
    "steps": _steps,
    "compiled": _steps,
}
"""Tables by part."""
