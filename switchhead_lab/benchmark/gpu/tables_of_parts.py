"""The tables of each part: headings and rows from the findings of its cases."""

from collections.abc import Callable, Iterator
from typing import Any

Case = dict[str, Any]
Table = tuple[list[str], list[list[str]]]
Results = dict[str, Any]

_GROUPED = ("eager", "captured", "compiled", "compiled and captured")
_MISSING = "-"


def step_rows(cases: list[Case]) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield size, positions, model, mode and findings of every step that was timed."""
    for case in cases:
        size, positions, model = case["name"].split(" ", 2)
        for mode in _GROUPED:
            if mode in case["findings"]:
                yield size, positions, model, mode, case["findings"][mode]


def _no_tables(_cases: list[Case], _results: Results) -> list[Table]:
    return []


def _kernels(cases: list[Case], _: Results) -> list[Table]:
    headings = ["case", "status", "largest error", "tolerance", "where", "repeats"]
    rows = []
    for case in cases:
        found = case["findings"]
        tolerance = found.get("tolerance")
        errors = {
            f"{check}, {name}": error
            for check, part in found.items()
            if isinstance(part, dict)
            for name, error in part.get("errors", part if check == "errors" else {}).items()
        }
        where = max(errors, key=lambda name: errors[name], default=_MISSING)
        repeats = [part["repeats"] for part in found.values() if _has(part, "repeats")]
        rows.append(
            [
                case["name"],
                case["status"],
                f"{errors[where]:.1e}" if errors else _MISSING,
                f"{tolerance:.0e}" if tolerance else _MISSING,
                where,
                _yes_no(all(repeats)) if repeats else _MISSING,
            ]
        )
    return [(headings, rows)] if rows else []


def _models(cases: list[Case], _: Results) -> list[Table]:
    headings = ["model", "status", "loss error", "gradient error"]
    rows = [
        [case["name"], case["status"], *(f"{error:.1e}" for error in errors.values())]
        for case in cases
        if (errors := case["findings"].get("errors"))
    ]
    return [(headings, rows)] if rows else []


def _steps(cases: list[Case], results: Results) -> list[Table]:
    """Tabulate steps: ratios are over the dense model of the same size, positions and mode."""
    timed = list(step_rows(cases))
    dense = {row[:2] + row[3:4]: row[4] for row in timed if row[2] == "dense"}
    peak = results["machine"].get("matmul", {}).get(_precision(results))
    headings = ["size", "positions", "model", "mode", "ms", "/ dense", "tokens/s"]
    headings += ["memory GB", "/ dense", "matmul bound", "micro-batch"]
    rows = [
        [
            *(size, positions, model, mode, f"{found['ms']:.2f}"),
            _ratio(found, dense.get((size, positions, mode)), "ms"),
            f"{found['tokens_per_second']:,.0f}",
            _gigabytes(found.get("peak_memory_bytes")),
            _ratio(found, dense.get((size, positions, mode)), "peak_memory_bytes"),
            f"{100 * found['gflop'] / peak / (found['ms'] / 1e3):.0f}%" if peak else _MISSING,
            str(found["micro_batch_size"]),
        ]
        for size, positions, model, mode, found in timed
    ]
    return [(headings, rows)] if rows else []


def _training(cases: list[Case], _: Results) -> list[Table]:
    headings = ["model", "fp32 difference", "bf16 difference", "captured difference"]
    headings += ["last loss", "CPU's", "repeats", "captured = eager"]
    rows = []
    for case in cases:
        found = case["findings"]
        differences = [
            f"{found[name]['difference']:.1e}" if name in found else _MISSING
            for name in ("fp32", "bf16", "captured")
        ]
        rows.append(
            [
                case["name"],
                *differences,
                f"{found['bf16']['losses'][-1]:.4f}" if "bf16" in found else _MISSING,
                f"{found['cpu'][-1]:.4f}" if "cpu" in found else _MISSING,
                *(_yes_no(found.get(name)) for name in ("repeats", "captured_equals_eager")),
            ]
        )
    return [(headings, rows)] if rows else []


def _products(cases: list[Case], _: Results) -> list[Table]:
    """Tabulate expert products: times over mm's, and shares of the best matmul."""
    headings = ["projection", "shape", "k", "type", "candidate", "fwd us", "/ mm", "% of best"]
    headings += ["fwd+bwd us", "/ mm", "% of best", "error"]
    rows = []
    for result in (result for case in cases for result in case["findings"].get("problems", [])):
        problem = result["problem"]
        shape = f"{problem['shape']['d_model']}/{problem['shape']['d_head']}"
        timed = {c["name"]: c for c in result["candidates"] if c["status"] == "timed"}
        base = timed.get("mm", timed.get("linear"))
        for name, candidate in timed.items():
            row = [problem["projection"], shape, str(problem["top_k"]), problem["dtype"], name]
            for mode in ("forward", "forward_backward"):
                times = candidate[mode]
                ratio = times["median_ms"] / base[mode]["median_ms"] if base else None
                row += [f"{1e3 * times['median_ms']:.1f}", f"{ratio:.2f}" if ratio else _MISSING]
                row += [f"{100 * times['peak_fraction']:.0f}"]
            error = candidate["error"]
            rows.append([*row, f"{error:.0e}" if error is not None else _MISSING])
    return [(headings, rows)] if rows else []


def _profile(cases: list[Case], _: Results) -> list[Table]:
    tables = []
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


def _tiles(cases: list[Case], _: Results) -> list[Table]:
    headings = ["case", "kernel", "tile of the rule", "% of best matmul", "fastest tile"]
    headings += ["% of best matmul", "rule / fastest"]
    rows = []
    for case in cases:
        peak = case["findings"].get("peak_gflops")
        for kernel, found in case["findings"].items():
            if not _has(found, "gflops") or not found["gflops"]:
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
    return [(headings, rows)] if rows else []


TABLES: dict[str, Callable[[list[Case], Results], list[Table]]] = {
    "machine": _no_tables,
    "kernels": _kernels,
    "models": _models,
    "steps": _steps,
    "training": _training,
    "products": _products,
    "profile": _profile,
    "tiles": _tiles,
    "compiled": _steps,
}


def _precision(results: Results) -> str:
    host = results["machine"].get("facts", {}).get("host", {})
    return str(host.get("precision", ""))


def _has(part: object, key: str) -> bool:
    return isinstance(part, dict) and key in part


def _ratio(found: dict[str, Any], dense: dict[str, Any] | None, key: str) -> str:
    if dense is None or not dense.get(key) or not found.get(key):
        return _MISSING
    return f"{found[key] / dense[key]:.3f}"


def _gigabytes(n_bytes: int | None) -> str:
    return _MISSING if n_bytes is None else f"{n_bytes / 1e9:.2f}"


def _yes_no(value: bool | None) -> str:
    return _MISSING if value is None else ("yes" if value else "no")
