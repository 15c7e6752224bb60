"""Tables of the summary: the few figures that decide what to mend first, a line for each model."""

from collections.abc import Callable
from typing import Any

from switchhead_lab.benchmark.gpu.tables_of_parts import Case, Table, step_rows

_MISSING = "-"


def _steps(cases: list[Case]) -> Table:
    """Put the modes of each model side by side, with ratios over dense."""
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
            dense = found.get((size, positions, "dense"), {}).get(mode, {})
            peak = ours.get("peak_memory_bytes")
            row += [
                f"{ours['ms']:.2f}" if ours else _MISSING,
                f"{ours['ms'] / dense['ms']:.3f}" if ours and dense else _MISSING,
                f"{peak / 1e9:.2f}" if peak else _MISSING,
            ]
        rows.append(row)
    return headings, rows


def _products(cases: list[Case]) -> Table:
    """Tabulate the Triton kernels alone, beside a matmul of the same MACs."""
    headings = ["projection", "shape", "k", "type", "fwd / mm", "% of best", "fwd+bwd / mm"]
    headings += ["% of best"]
    rows = []
    for result in (result for case in cases for result in case["findings"].get("problems", [])):
        problem = result["problem"]
        timed = {c["name"]: c for c in result["candidates"] if c["status"] == "timed"}
        if "triton" not in timed or "mm" not in timed:
            continue
        shape = f"{problem['shape']['d_model']}/{problem['shape']['d_head']}"
        row = [problem["projection"], shape, str(problem["top_k"]), problem["dtype"]]
        for mode in ("forward", "forward_backward"):
            ours, matmul = timed["triton"][mode], timed["mm"][mode]
            row += [f"{ours['median_ms'] / matmul['median_ms']:.2f}"]
            row += [f"{100 * ours['peak_fraction']:.0f}"]
        rows.append(row)
    return headings, rows


SHORT_TABLES: dict[str, Callable[[list[Case]], Table]] = {
    "products": _products,
    "steps": _steps,
    "compiled": _steps,
}
"""Tables by part."""
