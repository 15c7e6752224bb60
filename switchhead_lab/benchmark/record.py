"""Writing benchmark results to reports/bench/NAME.json and NAME.md, with the machine."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import switchhead_lab
from switchhead_kernels.native.build import find_compiler
from switchhead_lab.benchmark.table import (
    Table,
    checkpoint_table,
    evaluation_table,
    kernel_remarks,
    kernel_table,
    markdown_table,
    neighbour_table,
    peer_table,
    step_table,
    workers_table,
)
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.bench_record import (
    EVALUATION_BENCH_NAME,
    WORKERS_BENCH_NAME,
    bench_dir,
    checkpoint_bench_name,
    neighbour_bench_name,
    peer_bench_name,
    step_bench_name,
)
from switchhead_lab.tracking.provenance import collect_provenance
from switchhead_lab.tracking.record_files import read_json
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.compute_setup import ComputeSetup

if TYPE_CHECKING:
    from switchhead_kernels.bench import BenchResult
    from switchhead_lab.benchmark.checkpoint import CheckpointBench
    from switchhead_lab.benchmark.evaluation import EvaluationBench
    from switchhead_lab.benchmark.neighbour import NeighbourBench
    from switchhead_lab.benchmark.peers.bench import PeerBench
    from switchhead_lab.benchmark.step import StepBench
    from switchhead_lab.benchmark.workers import WorkersBench


@dataclass(frozen=True)
class Recorded:
    """A benchmark as recorded.

    Attributes:
        data: What was written, or would have been.
        place: Where it was written, or why it was not, for the last line of the output.
    """

    data: dict[str, Any]
    place: str


def write_step_bench(
    reports_dir: Path, sweep: Sweep, bench: "StepBench", setup: ComputeSetup, *, is_partial: bool
) -> Recorded:
    """Write the training steps of a sweep's models.

    Args:
        reports_dir: The workspace's folder of reports.
        sweep: The sweep.
        bench: Times of its models.
        setup: The device.
        is_partial: Whether some of its models were left out on request; then a record with more
            models is kept.
    """
    contents = {**_named(sweep), "precision": setup.precision, **asdict(bench)}
    page = _Page(step_bench_name(sweep), contents, step_table(bench))
    return _write(reports_dir, page, setup, is_partial=is_partial)


def write_neighbour_bench(
    reports_dir: Path,
    sweep: Sweep,
    bench: "NeighbourBench",
    setup: ComputeSetup,
    *,
    is_partial: bool,
) -> Recorded:
    """Write the training steps beside a busy process; arguments as of `write_step_bench`."""
    contents = {**_named(sweep), **asdict(bench)}
    page = _Page(neighbour_bench_name(sweep), contents, neighbour_table(bench))
    return _write(reports_dir, page, setup, is_partial=is_partial)


def write_checkpoint_bench(
    reports_dir: Path,
    sweep: Sweep,
    bench: "CheckpointBench",
    setup: ComputeSetup,
    *,
    is_partial: bool,
) -> Recorded:
    """Write what recording a sweep's runs costs; arguments as of `write_step_bench`."""
    contents = {**_named(sweep), "precision": setup.precision, **asdict(bench)}
    page = _Page(checkpoint_bench_name(sweep), contents, checkpoint_table(bench))
    return _write(reports_dir, page, setup, is_partial=is_partial)


def write_peer_bench(
    reports_dir: Path, sweep: Sweep, bench: "PeerBench", setup: ComputeSetup, *, is_partial: bool
) -> Recorded:
    """Write the times of models and their peers; arguments as of `write_step_bench`."""
    contents = {**_named(sweep), "precision": setup.precision, **asdict(bench)}
    page = _Page(peer_bench_name(sweep), contents, peer_table(bench), bench.remarks)
    return _write(reports_dir, page, setup, is_partial=is_partial)


def write_evaluation_bench(
    reports_dir: Path, bench: "EvaluationBench", setup: ComputeSetup
) -> Recorded:
    """Write what evaluations of models cost.

    Args:
        reports_dir: The workspace's folder of reports.
        bench: Times of the models.
        setup: The device.
    """
    page = _Page(EVALUATION_BENCH_NAME, asdict(bench), evaluation_table(bench))
    return _write(reports_dir, page, setup, is_partial=False)


def write_workers_bench(reports_dir: Path, bench: "WorkersBench", setup: ComputeSetup) -> Recorded:
    """Write how busy workers of a sweep were; arguments as of `write_evaluation_bench`."""
    page = _Page(WORKERS_BENCH_NAME, asdict(bench), workers_table(bench))
    return _write(reports_dir, page, setup, is_partial=False)


def _named(sweep: Sweep) -> dict[str, str]:
    """Return what a benchmark of a sweep's steps records about the sweep."""
    return {
        "sweep": sweep.name,
        "size": sweep.size,
        "sweep_id": sweep_id(sweep),
        "tokens": "random",
    }


def write_kernel_bench(
    reports_dir: Path, bench: "BenchResult", setup: ComputeSetup, *, is_partial: bool
) -> Recorded:
    """Write the speed of expert matmuls; a partial benchmark keeps a record with more problems."""
    page = _Page("kernels", asdict(bench), kernel_table(bench), kernel_remarks(bench))
    return _write(reports_dir, page, setup, is_partial=is_partial)


@dataclass(frozen=True)
class _Page:
    """A benchmark to write: file name without suffix, contents, table, and what was not timed."""

    name: str
    contents: dict[str, Any]
    table: Table
    remarks: Sequence[str] = ()


def _write(reports_dir: Path, page: _Page, setup: ComputeSetup, *, is_partial: bool) -> Recorded:
    provenance = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=None,
        device=setup.facts,
        command=sys.argv,
    ).values
    head = {"schema_version": 1, "device": setup.description, "compiler": _compiler_version()}
    data = {**head, **page.contents, "provenance": provenance}
    folder = make_directory(bench_dir(reports_dir))
    path = folder / f"{page.name}.json"
    if is_partial and path.is_file():
        lacking = _timed(read_json(path)) - _timed(page.contents)
        if lacking:
            return Recorded(data, f"not recorded, because {path} also has {min(lacking)}")
    write_text(path, json.dumps(data, indent=2) + "\n")
    text = _page(page.name, data, page.table, page.remarks)
    write_text(folder / f"{page.name}.md", text)
    return Recorded(data, f"written to {folder}")


def _timed(contents: Mapping[str, Any]) -> set[str]:
    """Return what a benchmark timed: names of models, or matmuls."""
    rows = [*contents.get("steps", ()), *contents.get("times", ())]
    problems = [one["problem"] for one in contents.get("problems", ())]
    matmuls = {
        f"{p['projection']} {p['shape']['d_model']}/{p['shape']['d_head']}, k {p['top_k']}, "
        f"{p['dtype']}"
        for p in problems
    }
    return {row["model"] for row in rows} | matmuls


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
