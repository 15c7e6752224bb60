"""The bench: checks every candidate, then times the correct ones in turn."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from switchhead_kernels.bench.candidates import (
    LINEAR,
    MATMUL,
    REFERENCE,
    Matmul,
    Matmuls,
    all_matmuls,
    backward_of,
    has_device_sync,
    make_linear,
    output_and_gradients,
    relative_error,
)
from switchhead_kernels.bench.peak import matmul_peak
from switchhead_kernels.bench.problems import (
    DTYPES,
    Inputs,
    Plan,
    Problem,
    groups_of,
    make_inputs,
    problems_of,
)
from switchhead_kernels.bench.timing import interleave, warm_up

Status = Literal["timed", "untimed", "wrong", "unavailable"]
# Largest relative error that rounding explains; the same as in the kernels' tests.
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 4e-3}
# Errors are checked on fewer tokens, since float64 is slow; these fill more than one tile.
_N_CHECKED_TOKENS = 600
# A forward pass multiplies once, its backward pass twice: for the rows and for the weights.
_N_MATMULS = {"forward": 1, "forward_backward": 3}


@dataclass(frozen=True)
class Times:
    """Speed of one candidate.

    Attributes:
        median_ms: Median time of a call in milliseconds.
        n_rounds: Calls timed.
        relative_time: Relative to the dense matmul of the same multiply-accumulates.
        gflops: Achieved speed in GFLOP/s; only work on chosen experts counts.
        peak_fraction: Achieved speed as a fraction of the best matmul's.
    """

    median_ms: float
    n_rounds: int
    relative_time: float
    gflops: float
    peak_fraction: float


@dataclass(frozen=True)
class CandidateResult:
    """The outcome of one candidate.

    Attributes:
        name: Backend or library; "linear" is the dense matmul that others are compared with, "mm"
            the same with its weight already cast.
        status: "timed", or why not.
        reason: The same in words; empty if timed.
        error: Largest relative error of output and gradients; None if not checked.
        forward: Speed of the forward pass.
        forward_backward: Speed of forward and backward pass together.
    """

    name: str
    status: Status
    reason: str = ""
    error: float | None = None
    forward: Times | None = None
    forward_backward: Times | None = None


@dataclass(frozen=True)
class ProblemResult:
    """Every candidate at one problem.

    Attributes:
        problem: The problem.
        macs: Its multiply-accumulates in the forward pass.
        candidates: The dense matmul first.
    """

    problem: Problem
    macs: int
    candidates: tuple[CandidateResult, ...]


@dataclass(frozen=True)
class BenchResult:
    """The results of a bench.

    Attributes:
        peak_gflops: Speed of the best square matmul in GFLOP/s, by dtype name.
        problems: Every problem.
    """

    peak_gflops: dict[str, float]
    problems: tuple[ProblemResult, ...]


Seconds = dict[str, list[float]]
"""Times of the calls of each candidate."""


@dataclass(frozen=True)
class _Measured:
    """Times of one problem by mode, before the comparison with the best matmul."""

    problem: Problem
    checked: dict[str, CandidateResult]
    seconds: dict[str, Seconds]


def run_bench(
    plan: Plan,
    device: torch.device,
    *,
    matmuls: Matmuls | None = None,
    peak_gflops: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Check and time every candidate at every problem.

    Args:
        plan: What to time.
        device: Where to time it.
        matmuls: Candidates by name; by default all.
        peak_gflops: Speed of the best square matmul in GFLOP/s by dtype name; by default measured.
        progress: Called with one line at the start of every shape.
    """
    matmuls = all_matmuls() if matmuls is None else matmuls
    measured: list[_Measured] = []
    peaks = dict(peak_gflops or dict.fromkeys(plan.dtypes, 0.0))
    groups = groups_of(plan)
    for number, (shape, dtype) in enumerate(groups, start=1):
        progress(f"{shape} {dtype}: {number} of {len(groups)}")
        if peak_gflops is None:
            # Measured again for every group: another process may slow one measurement.
            peaks[dtype] = max(peaks[dtype], matmul_peak(DTYPES[dtype], device))
        problems = problems_of(plan, shape, dtype)
        measured += [_measure(problem, device, plan, matmuls) for problem in problems]
    return BenchResult(peaks, tuple(_result(one, peaks[one.problem.dtype]) for one in measured))


def _measure(problem: Problem, device: torch.device, plan: Plan, matmuls: Matmuls) -> _Measured:
    inputs = make_inputs(problem, device)
    checked = _check(problem, inputs, matmuls, times_reference=plan.times_reference)
    right = [name for name, result in checked.items() if result.status == "timed"]
    calls: dict[str, tuple[Callable[[], Tensor], Inputs]] = {LINEAR: make_linear(problem, device)}
    if device.type == "cuda":
        calls[MATMUL] = make_linear(problem, device, casts=False)
    calls |= {name: (_call(matmuls[name], problem, inputs), inputs) for name in right}
    forward = {name: _without_gradient(call) for name, (call, _) in calls.items()}
    both = {name: backward_of(*pair) for name, pair in calls.items()}
    seconds = {
        "forward": _time(forward, problem, device, plan),
        "forward_backward": _time(both, problem, device, plan),
    }
    return _Measured(problem, checked, seconds)


def _result(measured: _Measured, peak: float) -> ProblemResult:
    macs = measured.problem.macs
    times = {
        mode: _speeds(measured.seconds[mode], macs * n_matmuls, peak)
        for mode, n_matmuls in _N_MATMULS.items()
    }
    dense = [name for name in (LINEAR, MATMUL) if name in measured.seconds["forward"]]
    candidates = [
        *(CandidateResult(name, "timed") for name in dense),
        *measured.checked.values(),
    ]
    timed = tuple(
        replace(candidate, **{mode: speeds[candidate.name] for mode, speeds in times.items()})
        if candidate.status == "timed"
        else candidate
        for candidate in candidates
    )
    return ProblemResult(measured.problem, macs, timed)


def _check(
    problem: Problem, inputs: Inputs, matmuls: Matmuls, *, times_reference: bool
) -> dict[str, CandidateResult]:
    """Compare every candidate with the definition in float64; status "timed" means to be timed."""
    few = inputs.first(_N_CHECKED_TOKENS)
    definition = all_matmuls()[REFERENCE]
    exact = output_and_gradients(definition, problem, few.in_float64())
    limit = TOLERANCE[problem.dtype]
    checked = {}
    for name, matmul in matmuls.items():
        try:
            error = relative_error(matmul, problem, few, exact)
        except (ImportError, RuntimeError, ValueError) as cause:
            checked[name] = CandidateResult(name, "unavailable", _first_line(cause))
            continue
        # A NaN error counts as wrong.
        if not error <= limit:
            reason = f"relative error {error:.1e}, above the {limit:.0e} that rounding explains"
            checked[name] = CandidateResult(name, "wrong", reason, error)
        elif name == REFERENCE and not times_reference:
            reason = "the definition, tens of times slower; timed on request"
            checked[name] = CandidateResult(name, "untimed", reason, error)
        else:
            checked[name] = CandidateResult(name, "timed", error=error)
    return checked


def _call(matmul: Matmul, problem: Problem, inputs: Inputs) -> Callable[[], Tensor]:
    return lambda: matmul(problem, inputs)


def _without_gradient(call: Callable[[], Tensor]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return call()

    return run


def _time(
    calls: dict[str, Callable[[], object]], problem: Problem, device: torch.device, plan: Plan
) -> Seconds:
    timed = {
        name: warm_up(call, device, is_capturable=not has_device_sync(name, problem.dtype))
        for name, call in calls.items()
    }
    return interleave(timed, plan.effort)


def _speeds(seconds: Seconds, macs: int, peak: float) -> dict[str, Times]:
    """Convert seconds per call to speeds, relative to the dense matmul."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        name: Times(
            median_ms=1e3 * median,
            n_rounds=len(seconds[name]),
            relative_time=median / medians[LINEAR],
            gflops=2e-9 * macs / median,
            peak_fraction=2e-9 * macs / median / peak,
        )
        for name, median in medians.items()
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


assert set(TOLERANCE) == set(DTYPES), "every type has a tolerance"
