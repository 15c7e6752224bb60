"""Results as Markdown tables, and the summary at the end of the command's output."""

from collections.abc import Callable, Sequence
from typing import Any

from switchhead_lab.benchmark.gpu.tables_of_parts import (
    MISSING,
    Case,
    Results,
    gigabytes,
    product_rows,
    ratio,
    relative_speed,
    step_rows,
    tables_of,
)
from switchhead_lab.benchmark.table import Table, markdown_table

_MOST_FAILURES_LISTED = 12


def page(results: Results) -> str:
    """Return the page of a run: the machine, every part's tables, every failure."""
    lines = [f"# GPU run: {title(results)}", ""]
    if results["is_dry_run"]:
        lines += ["**A dry run on a CPU in tiny sizes: its timings mean nothing.**", ""]
    lines += [*_machine_lines(results), ""]
    for part in results["parts"]:
        lines += [f"## {part['name']}: {part['title']}", "", f"{state(part)}.", ""]
        for table in tables_of(part, results):
            lines += [*markdown_table(*table), ""]
        if failures(part):
            lines += [*(f"- {failure}" for failure in failures(part)), ""]
    return "\n".join(lines).rstrip() + "\n"


def summary(results: Results) -> list[str]:
    """Return the last lines of the command's output: steps, then parts, then failures."""
    lines = [title(results), ""]
    for name, table in SHORT_TABLES.items():
        part = next(part for part in results["parts"] if part["name"] == name)
        headings, rows = table(part["cases"])
        if rows:
            lines += [*_aligned([headings, *rows]), ""]
    lines += [f"{part['name']:9} {state(part)}" for part in results["parts"]]
    all_failures = [failure for part in results["parts"] for failure in failures(part)]
    lines += all_failures[:_MOST_FAILURES_LISTED]
    if len(all_failures) > _MOST_FAILURES_LISTED:
        lines.append(f"and {len(all_failures) - _MOST_FAILURES_LISTED} more; see gpu.md")
    return lines


def title(results: Results) -> str:
    """Return the card, its driver and the versions as one line."""
    facts = results["machine"].get("facts", {})
    driver = facts.get("nvidia_smi", {}).get("driver_version", "")
    names = [
        facts.get("device_name", "no device"),
        f"driver {driver}" if driver else "",
        f"CUDA {facts['cuda']}" if facts.get("cuda") else "",
        f"PyTorch {facts['torch']}" if "torch" in facts else "",
        f"Triton {facts['triton']}" if "triton" in facts else "",
    ]
    return ", ".join(filter(None, names))


def _machine_lines(results: Results) -> list[str]:
    git = results["provenance"]["git"]
    lines = [
        f"- Commit {git['commit'] or '(no repository)'}, {results['provenance']['time']}.",
    ]
    matmul = results["machine"].get("matmul", {})
    if matmul:
        peaks = ", ".join(f"{name} {peak / 1e3:,.1f}" for name, peak in matmul.items())
        lines.append(f"- Best square matmul, TFLOP/s: {peaks}.")
    copy = results["machine"].get("copy", {})
    if copy:
        lines.append(f"- Copy on the device: {copy['gigabytes_per_second']:,.0f} GB/s.")
    launch = results["machine"].get("launch", {})
    if launch:
        pairs = (f"{name.split('_')[0]} {value:.1f}" for name, value in launch.items())
        lines.append(f"- Launch of an empty kernel, microseconds: {', '.join(pairs)}.")
    return lines


def state(part: dict[str, Any]) -> str:
    """Return how many cases of a part are done, and why not all."""
    if part["status"] == "skipped":
        return f"skipped: {part['reason'] or 'not asked for'}"
    state = f"{part['n_done']} of {len(part['cases'])} cases done in {part['seconds']:.0f} s"
    return f"{state}; {part['reason']}" if part["reason"] else state


def failures(part: dict[str, Any]) -> list[str]:
    """Return one line per failed case of a part."""
    return [
        f"{part['name']}, {case['name']}: {case['status']}: {case['reason']}"
        for case in part["cases"]
        if case["status"] not in ("done", "skipped")
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


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
"""Tables of the summary, the main figures of steps and products, by part."""
