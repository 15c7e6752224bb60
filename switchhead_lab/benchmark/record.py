"""Writing benchmark results to reports/bench/NAME.json and NAME.md, with the machine."""

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
from switchhead_lab.benchmark.neighbour import NeighbourBench
from switchhead_lab.benchmark.peers.bench import PeerBench
from switchhead_lab.benchmark.step import StepBench
from switchhead_lab.benchmark.table import (
    Table,
    kernel_remarks,
    kernel_table,
    markdown_table,
    neighbour_table,
    peer_table,
    step_table,
)
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.bench_record import (
    bench_dir,
    neighbour_bench_name,
    peer_bench_name,
    step_bench_name,
)
from switchhead_lab.tracking.provenance import collect_provenance
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.compute_setup import ComputeSetup


def write_step_bench(
    reports_dir: Path, sweep: Sweep, bench: StepBench, setup: ComputeSetup
) -> dict[str, Any]:
    """Write the training steps of a sweep's models; return what was written."""
    contents = {**_named(sweep), "precision": setup.precision, **asdict(bench)}
    name = step_bench_name(sweep)
    return _write(reports_dir, name, contents, step_table(bench), setup)


def write_neighbour_bench(
    reports_dir: Path, sweep: Sweep, bench: NeighbourBench, setup: ComputeSetup
) -> dict[str, Any]:
    """Write the training steps beside a busy process; return what was written."""
    contents = {**_named(sweep), **asdict(bench)}
    name = neighbour_bench_name(sweep)
    return _write(reports_dir, name, contents, neighbour_table(bench), setup)


def write_peer_bench(
    reports_dir: Path, sweep: Sweep, bench: PeerBench, setup: ComputeSetup
) -> dict[str, Any]:
    """Write the times of models and their peers; return what was written."""
    contents = {**_named(sweep), "precision": setup.precision, **asdict(bench)}
    table, name = peer_table(bench), peer_bench_name(sweep)
    return _write(reports_dir, name, contents, table, setup, bench.remarks)


def _named(sweep: Sweep) -> dict[str, str]:
    """Return what a benchmark of a sweep's steps records about the sweep."""
    return {
        "sweep": sweep.name,
        "size": sweep.size,
        "sweep_id": sweep_id(sweep),
        "tokens": "random",
    }


def write_kernel_bench(
    reports_dir: Path, bench: BenchResult, setup: ComputeSetup
) -> dict[str, Any]:
    """Write the speed of expert matmuls; return what was written."""
    contents, remarks = asdict(bench), kernel_remarks(bench)
    return _write(reports_dir, "kernels", contents, kernel_table(bench), setup, remarks)


def _write(
    reports_dir: Path,
    name: str,
    contents: dict[str, Any],
    table: Table,
    setup: ComputeSetup,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    provenance = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=None,
        device=setup.facts,
        command=sys.argv,
    ).values
    head = {"schema_version": 1, "device": setup.description, "compiler": _compiler_version()}
    data = {**head, **contents, "provenance": provenance}
    folder = make_directory(bench_dir(reports_dir))
    write_text(folder / f"{name}.json", json.dumps(data, indent=2) + "\n")
    write_text(folder / f"{name}.md", _page(name, data, table, remarks))
    return data


def _compiler_version() -> str:
    """Return the first line of the C++ compiler's `--version`."""
    compiler = find_compiler()
    if compiler is None:
        return "no C++ compiler"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [compiler])[0]


def _page(name: str, data: dict[str, Any], table: Table, remarks: Sequence[str]) -> str:
    versions = data["provenance"].get("versions") or {}
    facts, peak = data["provenance"].get("device") or {}, data.get("peak_gflops", {})
    peaks = peak if isinstance(peak, dict) else {data.get("precision", ""): peak}
    lines = [
        f"# {name}",
        "",
        f"- Machine: {data['device']}, {facts.get('n_threads', '?')} threads, PyTorch "
        f"{versions.get('torch', '?')}, {data['compiler']}; medians, all candidates in turn.",
        *(f"- Best square matmul, {kind}: {value:,.0f} GFLOP/s." for kind, value in peaks.items()),
        *(f"- Not timed: {remark}." for remark in remarks),
        "",
        *markdown_table(*table),
        "",
    ]
    return "\n".join(lines)
