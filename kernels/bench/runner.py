"""The bench: check every candidate, then time those that are right, in turn."""

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
# Largest relative error that rounding explains; the kernels' tests ask for the same.
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 4e-3}
# Errors are checked on fewer tokens: float64 is slow, and this many fill more than one tile.
_N_CHECKED_TOKENS = 600
# A forward pass multiplies once, its backward pass twice: for the rows and for the weights.
_PRODUCTS = {"forward": 1, "forward_backward": 3}


@dataclass(frozen=True)
class Times:
    """Speed of one candidate.

    Attributes:
        median_ms: Median time of a call in milliseconds.
        n_rounds: Calls timed.
        relative_time: That of the dense matmul of as many multiply-accumulates is 1.
        gflops: Achieved speed in GFLOP/s; work on experts not chosen does not count.
        peak_fraction: Achieved speed as a fraction of the best matmul's.
    """

    median_ms: float
    n_rounds: int
    relative_time: float
    gflops: float
    peak_fraction: float


@dataclass(frozen=True)
class CandidateResult:
    """What became of one candidate.

    Attributes:
        name: Backend or library; "linear" is the dense matmul that the others are compared with,
            "mm" the same matmul with its weight already cast.
        status: Whether it is timed, and else why not.
        reason: The same in words; empty where timed.
        error: Largest relative error of output and gradients; None where there is none to tell.
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
        macs: Its multiply-accumulates, forward.
        candidates: The dense matmul first.
    """

    problem: Problem
    macs: int
    candidates: tuple[CandidateResult, ...]


@dataclass(frozen=True)
class BenchResult:
    """What a bench found.

    Attributes:
        peak_gflops: Speed of the best square matmul in GFLOP/s, by name of type.
        problems: Every problem.
    """

    peak_gflops: dict[str, float]
    problems: tuple[ProblemResult, ...]


Seconds = dict[str, list[float]]
"""Times of the calls of each candidate."""


@dataclass(frozen=True)
class _Measured:
    """One problem as timed, by mode, before it is compared with the best matmul."""

    problem: Problem
    checked: dict[str, CandidateResult]
    seconds: dict[str, Seconds]


def run_bench(
    plan: Plan,
    device: torch.device,
    *,
    products: Matmuls | None = None,
    peak_gflops: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Check and time every candidate at every problem.

    Args:
        plan: What to time.
        device: Where.
        products: Candidates by name; all there are if left out.
        peak_gflops: Speed of the best square matmul by name of type; measured if left out.
        progress: Called with a line at the start of every shape.
    """
    products = all_matmuls() if products is None else products
    measured: list[_Measured] = []
    peaks = dict(peak_gflops or dict.fromkeys(plan.dtypes, 0.0))
    groups = groups_of(plan)
    for number, (shape, dtype) in enumerate(groups, start=1):
        progress(f"{shape} {dtype}: {number} of {len(groups)}")
        if peak_gflops is None:
            # Time and again, because another program may have slowed one of them.
            peaks[dtype] = max(peaks[dtype], matmul_peak(DTYPES[dtype], device))
        problems = problems_of(plan, shape, dtype)
        measured += [_measure(problem, device, plan, products) for problem in problems]
    return BenchResult(peaks, tuple(_result(one, peaks[one.problem.dtype]) for one in measured))


def _measure(problem: Problem, device: torch.device, plan: Plan, products: Matmuls) -> _Measured:
    inputs = make_inputs(problem, device)
    checked = _check(problem, inputs, products, times_reference=plan.times_reference)
    right = [name for name, result in checked.items() if result.status == "timed"]
    calls: dict[str, tuple[Callable[[], Tensor], Inputs]] = {LINEAR: make_linear(problem, device)}
    if device.type == "cuda":
        calls[MATMUL] = make_linear(problem, device, casts=False)
    calls |= {name: (_call(products[name], problem, inputs), inputs) for name in right}
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
        mode: _speeds(measured.seconds[mode], macs * n_products, peak)
        for mode, n_products in _PRODUCTS.items()
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
    problem: Problem, inputs: Inputs, products: Matmuls, *, times_reference: bool
) -> dict[str, CandidateResult]:
    """Compare every candidate with the definition in float64; "timed" are those to be timed."""
    few = inputs.first(_N_CHECKED_TOKENS)
    definition = all_matmuls()[REFERENCE]
    exact = output_and_gradients(definition, problem, few.in_float64())
    limit = TOLERANCE[problem.dtype]
    checked = {}
    for name, product in products.items():
        try:
            error = relative_error(product, problem, few, exact)
        except (ImportError, RuntimeError, ValueError) as cause:
            checked[name] = CandidateResult(name, "unavailable", _first_line(cause))
            continue
        # Written so that an error that is no number counts as wrong.
        if not error <= limit:
            reason = f"relative error {error:.1e}, more than the {limit:.0e} of rounding"
            checked[name] = CandidateResult(name, "wrong", reason, error)
        elif name == REFERENCE and not times_reference:
            reason = "the definition, tens of times slower; timed where asked for"
            checked[name] = CandidateResult(name, "untimed", reason, error)
        else:
            checked[name] = CandidateResult(name, "timed", error=error)
    return checked


def _call(product: Matmul, problem: Problem, inputs: Inputs) -> Callable[[], Tensor]:
    return lambda: product(problem, inputs)


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
    """Turn seconds per call into speeds; the dense matmul is the measure."""
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
