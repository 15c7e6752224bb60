"""The tables of each part, from the findings of its cases."""

import math
from collections.abc import Iterator
from typing import Any

from switchhead_lab.benchmark.table import Table
from switchhead_lab.tracking.bench_record import STEP_MODES

Case = dict[str, Any]
"""One case of a part, as in gpu.json."""

Results = dict[str, Any]
"""Contents of gpu.json."""

MISSING = "-"


def tables_of(part: dict[str, Any], results: Results) -> list[Table]:
    """Return the tables of a part that have rows."""
    cases = part["cases"]
    match part["name"]:
        case "machine":
            tables: list[Table] = []  # shown as a list above all parts
        case "kernels":
            tables = [_kernels(cases)]
        case "models":
            tables = [_models(cases)]
        case "steps" | "compiled":
            tables = [_steps(cases, _peak_gflops(results))]
        case "training":
            tables = [_training(cases)]
        case "products":
            tables = [_products(cases)]
        case "profile":
            tables = _profile(cases)
        case "tiles":
            tables = [_tiles(cases)]
        case name:
            raise AssertionError(f"part {name} has no tables")
    return [table for table in tables if table[1]]


def step_rows(cases: list[Case]) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield size, positions, model, mode and findings of every timed step."""
    for case in cases:
        size, positions, model = case["name"].split(" ", 2)
        for mode in STEP_MODES:
            if mode in case["findings"]:
                yield size, positions, model, mode, case["findings"][mode]


def product_rows(cases: list[Case]) -> Iterator[tuple[list[str], dict[str, dict[str, Any]]]]:
    """Yield the cells that name a problem, and its timed candidates by name."""
    for result in (result for case in cases for result in case["findings"].get("problems", [])):
        problem = result["problem"]
        shape = f"{problem['shape']['d_model']}/{problem['shape']['d_head']}"
        names = [problem["projection"], shape, str(problem["top_k"]), problem["dtype"]]
        yield names, {c["name"]: c for c in result["candidates"] if c["status"] == "timed"}


def _kernels(cases: list[Case]) -> Table:
    headings = ["case", "status", "largest error", "tolerance", "where", "repeats"]
    rows = []
    for case in cases:
        found = case["findings"]
        tolerance = found.get("tolerance")
        checks = {name: check for name, check in found.items() if isinstance(check, dict)}
        errors = {
            f"{check}, {name}": error
            for check, part in checks.items()
            for name, error in part["errors"].items()
        }
        # Comparisons with NaN are false, so `max` alone could hide it.
        ranked = {name: (math.isnan(error), error) for name, error in errors.items()}
        where = max(ranked, key=lambda name: ranked[name], default=MISSING)
        repeats = [check["repeats"] for check in checks.values() if "repeats" in check]
        rows.append(
            [
                case["name"],
                case["status"],
                f"{errors[where]:.1e}" if errors else MISSING,
                f"{tolerance:.0e}" if tolerance else MISSING,
                where,
                _yes_no(all(repeats)) if repeats else MISSING,
            ]
        )
    return headings, rows


def _models(cases: list[Case]) -> Table:
    headings = ["model", "status", "loss error", "gradient error"]
    rows = [
        [case["name"], case["status"], *(f"{error:.1e}" for error in errors.values())]
        for case in cases
        if (errors := case["findings"].get("errors"))
    ]
    return headings, rows


def _steps(cases: list[Case], peak_gflops: float | None) -> Table:
    """Tabulate steps: ratios are to the dense model of the same size, positions and mode."""
    timed = list(step_rows(cases))
    dense = {row[:2] + row[3:4]: row[4] for row in timed if row[2] == "dense"}
    headings = ["size", "positions", "model", "mode", "ms", "/ dense", "tokens/s"]
    headings += ["memory GB", "/ dense", "matmul bound", "micro-batch"]
    rows = [
        [
            *(size, positions, model, mode, f"{found['ms']:.2f}"),
            ratio(found, dense.get((size, positions, mode)), "ms"),
            f"{found['tokens_per_second']:,.0f}",
            gigabytes(found),
            ratio(found, dense.get((size, positions, mode)), "peak_memory_bytes"),
            _percent_of_bound(found, peak_gflops),
            str(found["micro_batch_size"]),
        ]
        for size, positions, model, mode, found in timed
    ]
    return headings, rows


def _training(cases: list[Case]) -> Table:
    headings = ["model", "fp32 difference", "bf16 difference", "captured difference"]
    headings += ["last loss", "CPU's", "repeats", "captured = eager"]
    rows = []
    for case in cases:
        found = case["findings"]
        differences = [
            f"{found[name]['difference']:.1e}" if name in found else MISSING
            for name in ("fp32", "bf16", "captured")
        ]
        rows.append(
            [
                case["name"],
                *differences,
                f"{found['bf16']['losses'][-1]:.4f}" if "bf16" in found else MISSING,
                f"{found['cpu'][-1]:.4f}" if "cpu" in found else MISSING,
                *(_yes_no(found.get(name)) for name in ("repeats", "captured_equals_eager")),
            ]
        )
    return headings, rows


def _products(cases: list[Case]) -> Table:
    """Tabulate expert matmuls: times relative to mm, and percentages of the best matmul."""
    headings = ["projection", "shape", "k", "type", "candidate", "fwd us", "/ mm", "% of best"]
    headings += ["fwd+bwd us", "/ mm", "% of best", "error"]
    rows = []
    for names, timed in product_rows(cases):
        base = timed.get("mm", timed.get("linear"))
        for name, candidate in timed.items():
            row = [*names, name]
            for mode in ("forward", "forward_backward"):
                times = candidate[mode]
                row += [f"{1e3 * times['median_ms']:.1f}"]
                row += relative_speed(times, base[mode] if base else None)
            error = candidate["error"]
            rows.append([*row, f"{error:.0e}" if error is not None else MISSING])
    return headings, rows


def _profile(cases: list[Case]) -> list[Table]:
    tables: list[Table] = []
    for case in cases:
        found = case["findings"]
        if "largest" not in found:
            continue
        heading = (
            f"{case['name']}: {found['device_ms']:.2f} of {found['wall_ms']:.2f} ms busy, "
            f"{found['n_launches']:.0f} launches"
        )
        rows = [
            [
                f"`{kernel['name'][:90]}`".replace("|", "/"),
                f"{kernel['calls']:.0f}",
                f"{kernel['ms']:.3f}",
                f"{100 * kernel['fraction']:.1f}%",
            ]
            for kernel in found["largest"]
        ]
        tables.append(([heading, "calls", "ms/step", "of busy time"], rows))
    return tables


def _tiles(cases: list[Case]) -> Table:
    headings = ["case", "kernel", "tile of the rule", "% of best matmul", "fastest tile"]
    headings += ["% of best matmul", "rule / fastest"]
    rows = []
    for case in cases:
        peak = case["findings"].get("peak_gflops")
        for kernel, found in case["findings"].items():
            if not isinstance(found, dict) or not found["gflops"]:
                continue
            speeds, rule = found["gflops"], found["rule"]
            fastest = max(speeds, key=lambda tile: speeds[tile])
            ruled = speeds.get(rule, 0.0)
            rows.append(
                [
                    *(case["name"], kernel, rule, f"{100 * ruled / peak:.0f}"),
                    *(fastest, f"{100 * speeds[fastest] / peak:.0f}"),
                    f"{ruled / speeds[fastest]:.2f}",
                ]
            )
    return headings, rows


def _peak_gflops(results: Results) -> float | None:
    """Return the best matmul's speed in the precision of the steps; None if not measured."""
    host = results["machine"].get("facts", {}).get("host", {})
    peak: float | None = results["machine"].get("matmul", {}).get(host.get("precision"))
    return peak


def _percent_of_bound(step: dict[str, Any], peak_gflops: float | None) -> str:
    if peak_gflops is None:
        return MISSING
    return f"{100 * step['gflop'] / peak_gflops / (step['ms'] / 1e3):.0f}%"


def ratio(found: dict[str, Any], dense: dict[str, Any] | None, key: str) -> str:
    """Return the cell of a step's time or memory relative to dense."""
    if dense is None or not dense.get(key) or not found.get(key):
        return MISSING
    return f"{found[key] / dense[key]:.3f}"


def gigabytes(step: dict[str, Any]) -> str:
    """Return the cell of a step's peak memory in GB."""
    n_bytes = step.get("peak_memory_bytes")
    return MISSING if n_bytes is None else f"{n_bytes / 1e9:.2f}"


def relative_speed(times: dict[str, Any], base: dict[str, Any] | None) -> list[str]:
    """Return the cells of a matmul's time relative to `base` and its percentage of the peak."""
    relative = f"{times['median_ms'] / base['median_ms']:.2f}" if base else MISSING
    return [relative, f"{100 * times['peak_fraction']:.0f}"]


def _yes_no(value: bool | None) -> str:
    return MISSING if value is None else ("yes" if value else "no")
