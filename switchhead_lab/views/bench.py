"""Output of `lab bench`: the tables of the recorded pages, and the best square matmul."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from switchhead_lab.benchmark import table as pages
from switchhead_lab.terminal_table import Table

if TYPE_CHECKING:
    from switchhead_kernels.bench import BenchResult
    from switchhead_lab.benchmark.checkpoint import CheckpointBench
    from switchhead_lab.benchmark.evaluation import EvaluationBench
    from switchhead_lab.benchmark.neighbour import NeighbourBench
    from switchhead_lab.benchmark.peers.bench import PeerBench
    from switchhead_lab.benchmark.step import StepBench
    from switchhead_lab.benchmark.workers import WorkersBench
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.training.compute_setup import ComputeSetup

# Columns of step times; the least useful first.
_OPTIONAL = ("quartiles", "GFLOP", "bound ms", "routing", "saved floats")


def step_table(sweep: "Sweep", bench: "StepBench") -> Table:
    """Return the step times of models, one row each."""
    headings, rows = pages.step_table(bench)
    short = [_on_two_lines(heading) for heading in headings]
    title = f"{sweep.name}, size {sweep.size}: training step"
    return Table(title, short, rows, optional=_OPTIONAL)


def _on_two_lines(heading: str) -> str:
    return heading.replace(" / ", " /\n") if " / " in heading else heading.replace(" ", "\n")


def step_lines(bench: "StepBench", setup: "ComputeSetup", place: str) -> Iterator[str]:
    """Yield the machine, its best square matmul, and where the page is."""
    yield f"{setup.description}, {setup.precision}; best square matmul"
    yield f"{bench.peak_gflops:,.0f} GFLOP/s; {place}"


def neighbour_table(sweep: "Sweep", bench: "NeighbourBench") -> Table:
    """Return step times alone and beside a busy process, one row per model and setting."""
    headings, rows = pages.neighbour_table(bench)
    headings = [_on_two_lines(heading) for heading in headings]
    title = f"{sweep.name}, size {sweep.size}: training step alone and beside a busy process"
    return Table(title, headings, rows, n_text_columns=2)


def neighbour_lines(bench: "NeighbourBench", setup: "ComputeSetup", place: str) -> Iterator[str]:
    """Yield the machine, what the settings are, and where the page is."""
    yield f"{setup.description}, {bench.precision}, {bench.n_threads} threads in each process"
    for name, variables in bench.settings.items():
        held = ", ".join(f"{key}={value}" for key, value in variables.items())
        if name != held:
            yield f"{name}: {held or 'no variable set'}"
    yield f"medians of {bench.n_rounds} rounds; {place}"


def checkpoint_table(sweep: "Sweep", bench: "CheckpointBench") -> Table:
    """Return what recording runs costs, one row per model."""
    headings, rows = pages.checkpoint_table(bench)
    headings = [_on_two_lines(heading) for heading in headings]
    title = f"{sweep.name}, size {sweep.size}: cost of checkpoints and tracking"
    return Table(title, headings, rows, optional=("slowed\nms", "point\nms", "MB"))


def checkpoint_lines(bench: "CheckpointBench", setup: "ComputeSetup", place: str) -> Iterator[str]:
    """Yield what the columns mean, and where the page is."""
    yield "percentages: of the run's training, by its own intervals; resume: one, after a signal"
    opening = max(time.run_ms for time in bench.times)
    yield f"tracking includes opening and closing a run, once: at most {opening:,.0f} ms"
    yield f"{setup.description}, {setup.precision}; medians of {bench.n_rounds} rounds; {place}"


def evaluation_table(bench: "EvaluationBench") -> Table:
    """Return what evaluations cost, one row per model."""
    headings, rows = pages.evaluation_table(bench)
    headings = [_on_two_lines(heading) for heading in headings]
    title = f"evaluation on {', '.join(bench.tasks)}"
    return Table(title, headings, rows, optional=("positions", "precision"), n_text_columns=2)


def evaluation_lines(bench: "EvaluationBench", setup: "ComputeSetup", place: str) -> Iterator[str]:
    """Yield what the columns mean, and where the page is."""
    yield "ratio: the whole evaluation, from documents to written results, by forward passes alone"
    yield f"{setup.description}; medians of {bench.n_rounds} rounds; {place}"


def workers_table(bench: "WorkersBench") -> Table:
    """Return how busy workers were, in one row."""
    headings, rows = pages.workers_table(bench)
    headings = [_on_two_lines(heading) for heading in headings]
    return Table("workers of a sweep, with training simulated", headings, rows)


def workers_lines(place: str) -> Iterator[str]:
    """Yield what the columns mean, and where the page is."""
    yield "busy: time in runs, of the time from joining to the end of the last run"
    yield "waits: from joining to the first run, and between two runs; medians and the longest"
    yield place


def peer_table(sweep: "Sweep", bench: "PeerBench") -> Table:
    """Return the times of models and their peers, one row per implementation."""
    headings, rows = pages.peer_table(bench)
    # Of the page's columns, those that fit a terminal.
    shown = [n for n, heading in enumerate(headings) if heading not in ("timed", "parameters")]
    title = f"{sweep.name}, size {sweep.size}: the lab beside other implementations"
    cells = [[row[n] for n in shown] for row in rows]
    return Table(title, [headings[n] for n in shown], cells, n_text_columns=2)


def peer_lines(bench: "PeerBench", setup: "ComputeSetup", place: str) -> Iterator[str]:
    """Yield what was not timed, the machine, and where the page is."""
    for remark in bench.remarks:
        yield f"not timed: {remark}"
    for model, unit in dict.fromkeys((time.model, time.unit) for time in bench.times):
        yield f"{model}: {unit}{', forward and backward' if 'layer' in unit else ''}"
    yield f"{setup.description}, {setup.precision}; medians of {bench.n_rounds} rounds"
    yield "ours / theirs: below 1, the lab is faster"
    yield place


def kernel_table(bench: "BenchResult", setup: "ComputeSetup") -> Table:
    """Return the times of candidates, one row per problem and timed candidate."""
    headings, rows = pages.kernel_table(bench)
    headings = [_on_two_lines(heading) for heading in headings]
    return Table(f"expert matmuls on {setup.description}", headings, rows, n_text_columns=5)


def kernel_lines(bench: "BenchResult", place: str) -> Iterator[str]:
    """Yield why candidates were not timed, the best square matmuls, and where the page is."""
    for remark in pages.kernel_remarks(bench):
        yield f"not timed: {remark}"
    peaks = ", ".join(f"{name} {peak:,.0f}" for name, peak in bench.peak_gflops.items())
    yield f"best square matmul, GFLOP/s: {peaks}; {place}"
