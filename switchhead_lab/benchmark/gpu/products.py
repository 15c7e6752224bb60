"""Part: expert matmuls beside matmuls of the same MACs, operator and sorting included."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

from switchhead_kernels.bench import Plan, Shape, run_bench
from switchhead_kernels.bench.candidates import all_matmuls
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.product_timing import best_matmul, effort, n_tokens

_SHAPES = (Shape(412, 76), Shape(1024, 132), Shape(2048, 128), Shape(128, 32), Shape(256, 64))
# Type, shape and top_k, most telling first.
_PLANS = (
    *(("bf16", shape, 2) for shape in _SHAPES),
    ("bf16", _SHAPES[1], 4),
    ("fp32", _SHAPES[0], 2),
    ("fp16", _SHAPES[1], 2),
    *(("bf16", _SHAPES[0], top_k) for top_k in (1, 3, 4)),
    ("bf16", Shape(1024, 112), 2),
    ("fp32", _SHAPES[1], 2),
)
_PLANS_DRY = (("bf16", Shape(16, 8), 2),)


def cases(context: Context) -> list[Case]:
    """List the cases, each with the four projections of one shape."""
    return [
        Case(f"{shape} k={top_k} {dtype}", partial(_measure, dtype, shape, top_k, context))
        for dtype, shape, top_k in (_PLANS_DRY if context.is_dry_run else _PLANS)
    ]


def _measure(dtype: str, shape: Shape, top_k: int, context: Context) -> Iterator[Findings]:
    plan = Plan((shape,), (top_k,), (dtype,), n_tokens=n_tokens(context), effort=effort(context))
    matmuls = all_matmuls()
    if context.is_dry_run:
        # Takes minutes in the interpreter; the kernels have a part of their own.
        del matmuls["triton"]
    peaks = {dtype: best_matmul(dtype, context)}
    yield {"peak_gflops": peaks}
    problems: list[Findings] = []
    for projection in plan.projections:
        one = replace(plan, projections=(projection,))
        bench = run_bench(one, context.device, matmuls=matmuls, peak_gflops=peaks)
        problems += map(asdict, bench.problems)
        yield {"problems": problems}
