"""Speed of expert matmuls: every backend beside a dense matmul of the same MACs."""

from switchhead_kernels.bench.peak import matmul_peak
from switchhead_kernels.bench.problems import DTYPES, SHAPES, TOP_KS, Plan, Shape
from switchhead_kernels.bench.runner import (
    BenchResult,
    CandidateResult,
    ProblemResult,
    Times,
    run_bench,
)
from switchhead_kernels.bench.timing import Effort, Timed, interleave, stopwatch, wait_for

__all__ = [
    "DTYPES",
    "SHAPES",
    "TOP_KS",
    "BenchResult",
    "CandidateResult",
    "Effort",
    "Plan",
    "ProblemResult",
    "Shape",
    "Timed",
    "Times",
    "interleave",
    "matmul_peak",
    "run_bench",
    "stopwatch",
    "wait_for",
]
