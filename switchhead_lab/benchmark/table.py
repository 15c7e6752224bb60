"""Tables of benchmarks: headings and rows of cells, and their Markdown."""

import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from switchhead_kernels.bench import BenchResult
    from switchhead_lab.benchmark.checkpoint import CheckpointBench
    from switchhead_lab.benchmark.evaluation import EvaluationBench
    from switchhead_lab.benchmark.neighbour import NeighbourBench
    from switchhead_lab.benchmark.peers.bench import PeerBench
    from switchhead_lab.benchmark.step import StepBench
    from switchhead_lab.benchmark.workers import WorkersBench

Table = tuple[list[str], list[list[str]]]
"""Headings and rows."""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def step_table(bench: "StepBench") -> Table:
    """Return headings and cells: one row per model."""
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


def neighbour_table(bench: "NeighbourBench") -> Table:
    """Return headings and cells: one row per model and setting."""
    headings = [
        *("model", "threads wait", "alone ms", "quartiles", "beside ms", "quartiles"),
        *("beside / alone", "alone / default", "beside / default"),
    ]
    rows = [
        [
            time.model,
            time.setting,
            f"{time.alone_ms:.1f}",
            _quartiles(time.alone_rounds_ms),
            f"{time.beside_ms:.1f}",
            _quartiles(time.beside_rounds_ms),
            f"{time.beside_over_alone:.2f}",
            f"{time.alone_over_default:.3f}",
            f"{time.beside_over_default:.3f}",
        ]
        for time in bench.times
    ]
    return headings, rows


def checkpoint_table(bench: "CheckpointBench") -> Table:
    """Return headings and cells: one row per model."""
    headings = [
        *("model", "MB", "step ms", "blocked ms", "written ms", "slowed ms", "load ms"),
        *("point ms", "checkpoints", "tracking", "resume"),
    ]
    rows = [
        [
            time.model,
            f"{time.n_bytes / 1e6:,.1f}",
            f"{time.step_ms:,.1f}",
            f"{time.blocked_ms:,.1f}",
            f"{time.written_ms:,.1f}",
            f"{time.slowed_ms:,.1f}",
            f"{time.load_ms:,.1f}",
            f"{time.point_ms:.2f}",
            f"{100 * time.checkpoint_fraction:.2f}%",
            f"{100 * time.tracking_fraction:.2f}%",
            f"{100 * time.resume_fraction:.2f}%",
        ]
        for time in bench.times
    ]
    return headings, rows


def evaluation_table(bench: "EvaluationBench") -> Table:
    """Return headings and cells: one row per model."""
    headings = ["model", "precision", "documents", "positions"]
    headings += ["evaluation s", "forward s", "ratio"]
    rows = [
        [
            time.model,
            time.precision,
            f"{time.n_documents:,}",
            f"{time.n_positions:,}",
            f"{time.evaluation_s:,.2f}",
            f"{time.forward_s:,.2f}",
            f"{time.ratio:.2f}",
        ]
        for time in bench.times
    ]
    return headings, rows


def workers_table(bench: "WorkersBench") -> Table:
    """Return headings and cells: one row."""
    headings = ["store", "workers", "runs", "run s", "joining s", "busy"]
    headings += ["first wait s", "longest", "wait s", "longest"]
    row = [
        bench.store,
        f"{bench.n_workers:,}",
        f"{bench.n_workers * bench.n_runs:,}",
        f"{bench.run_s:,.1f}",
        f"{bench.joining_s:,.1f}",
        f"{100 * bench.busy_fraction:.1f}%",
        f"{bench.first_wait_s:,.2f}",
        f"{bench.longest_first_wait_s:,.2f}",
        f"{bench.wait_s:,.2f}",
        f"{bench.longest_wait_s:,.2f}",
    ]
    return headings, [row]


def peer_table(bench: "PeerBench") -> Table:
    """Return headings and cells: one row per model and implementation."""
    headings = [
        "model",
        "timed",
        "implementation",
        "parameters",
        "ms",
        "quartiles",
        "ours / theirs",
    ]
    rows = [
        [
            time.model,
            time.unit,
            time.implementation,
            f"{time.n_parameters:,}",
            f"{time.ms:.1f}",
            f"{time.ms_quartiles[0]:.1f}-{time.ms_quartiles[1]:.1f}",
            f"{time.ours_over_theirs:.2f}",
        ]
        for time in bench.times
    ]
    return headings, rows


def _quartiles(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "-"
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return f"{first:.1f}-{third:.1f}"


def kernel_table(bench: "BenchResult") -> Table:
    """Return headings and cells: one row per problem and timed candidate."""
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


def kernel_remarks(bench: "BenchResult") -> list[str]:
    """Return why candidates were not timed, each reason once."""
    remarks = [
        f"{candidate.name}: {candidate.status}: {candidate.reason}"
        for result in bench.problems
        for candidate in result.candidates
        if candidate.reason
    ]
    return list(dict.fromkeys(remarks))
