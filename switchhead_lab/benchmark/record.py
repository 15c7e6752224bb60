"""What a bench found, on disk: reports/bench/NAME.json and NAME.md, with the machine."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import switchhead_lab
from switchhead_kernels.bench import BenchResult
from switchhead_kernels.native.build import find_compiler
from switchhead_lab.benchmark.step import StepBench
from switchhead_lab.benchmark.table import Table, markdown_table
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.bench_record import bench_dir, step_bench_name
from switchhead_lab.tracking.provenance import collect_provenance
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.host import Host


def write_step_bench(
    reports_dir: Path, sweep: Sweep, bench: StepBench, host: Host
) -> dict[str, Any]:
    """Write the training steps of a sweep's models; return what was written."""
    contents = {
        "sweep": sweep.name,
        "size": sweep.size,
        # Tells a bench of another declaration, as `--set` makes one, from this one's.
        "sweep_id": sweep_id(sweep),
        "tokens": "random",
        "precision": host.precision,
        **asdict(bench),
    }
    name = step_bench_name(sweep.name, sweep.size)
    return _write(reports_dir, name, contents, step_table(bench), host)


def write_kernel_bench(reports_dir: Path, bench: BenchResult, host: Host) -> dict[str, Any]:
    """Write the speed of expert products; return what was written."""
    contents, remarks = asdict(bench), kernel_remarks(bench)
    return _write(reports_dir, "kernels", contents, kernel_table(bench), host, remarks)


def step_table(bench: StepBench) -> Table:
    """Return headings and cells: one row for each model."""
    headings = [
        *("model", "ms/step", "quartiles", "tokens/s", "time / first", "saved floats"),
        *("saved / first", "GFLOP", "bound ms", "time / bound", "routing"),
    ]
    rows = [
        [
            step.model,
            f"{step.ms:.1f}",
            f"{step.ms_quartiles[0]:.1f}-{step.ms_quartiles[1]:.1f}",
            f"{step.tokens_per_second:,.0f}",
            f"{step.relative_time:.3f}",
            f"{step.saved_floats / 1e6:.1f}M",
            f"{step.relative_saved_floats:.3f}",
            f"{step.gflop:.1f}",
            f"{step.bound_ms:.1f}",
            f"{step.times_bound:.2f}",
            f"{100 * step.routing_fraction:.1f}%",
        ]
        for step in bench.steps
    ]
    return headings, rows


def kernel_table(bench: BenchResult) -> Table:
    """Return headings and cells: one row for each timed candidate of each problem."""
    headings = [
        *("projection", "shape", "k", "type", "candidate", "forward ms", "x linear", "GFLOP/s"),
        *("fwd+bwd ms", "x linear", "GFLOP/s", "error"),
    ]
    rows = []
    for result in bench.problems:
        problem = result.problem
        of = [problem.projection, str(problem.shape), str(problem.top_k), problem.dtype]
        for candidate in result.candidates:
            timed = [times for times in (candidate.forward, candidate.forward_backward) if times]
            cells = [
                cell
                for times in timed
                for cell in (
                    f"{times.median_ms:.2f}",
                    f"{times.relative_time:.2f}",
                    f"{times.gflops:.0f}",
                )
            ]
            error = "-" if candidate.error is None else f"{candidate.error:.0e}"
            if timed:
                rows.append([*of, candidate.name, *cells, error])
    return headings, rows


def kernel_remarks(bench: BenchResult) -> list[str]:
    """Return why candidates are not timed, each reason once."""
    remarks = [
        f"{candidate.name}: {candidate.status}: {candidate.reason}"
        for result in bench.problems
        for candidate in result.candidates
        if candidate.reason
    ]
    return list(dict.fromkeys(remarks))


def _write(
    reports_dir: Path,
    name: str,
    contents: dict[str, Any],
    table: Table,
    host: Host,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    provenance = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=None,
        device=host.facts,
        command=sys.argv,
    ).values
    head = {"schema_version": 1, "device": host.description, "compiler": _compiler_version()}
    data = {**head, **contents, "provenance": provenance}
    folder = make_directory(bench_dir(reports_dir))
    write_text(folder / f"{name}.json", json.dumps(data, indent=2) + "\n")
    write_text(folder / f"{name}.md", _page(name, data, table, remarks))
    return data


def _compiler_version() -> str:
    """Return the first line with which the compiler of the CPU kernel presents itself."""
    compiler = find_compiler()
    if compiler is None:
        return "no C++ compiler"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [compiler])[0]


def _page(name: str, data: dict[str, Any], table: Table, remarks: Sequence[str]) -> str:
    versions = data["provenance"].get("versions") or {}
    facts, peak = data["provenance"].get("device") or {}, data["peak_gflops"]
    peaks = peak if isinstance(peak, dict) else {data.get("precision", ""): peak}
    lines = [
        f"# {name}",
        "",
        f"- Machine: {data['device']}, {facts.get('n_threads', '?')} threads, PyTorch "
        f"{versions.get('torch', '?')}, {data['compiler']}; medians, all candidates in turn in one "
        "process.",
        *(f"- Best square product, {kind}: {value:,.0f} GFLOP/s." for kind, value in peaks.items()),
        *(f"- Not timed: {remark}." for remark in remarks),
        "",
        *markdown_table(*table),
        "",
    ]
    return "\n".join(lines)
