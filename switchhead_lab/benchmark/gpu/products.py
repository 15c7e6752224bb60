"""Part: expert products beside matmuls of the same MACs, operator and sorting included."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial

from switchhead_kernels.bench import Effort, Plan, Shape, run_bench
from switchhead_kernels.bench.candidates import all_products
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings

# A batch of 64 chunks of 256 tokens; fewer leave much of a large GPU idle.
_N_TOKENS = 16_384
_SHAPES = (Shape(412, 76), Shape(1024, 132), Shape(2048, 128), Shape(128, 32), Shape(256, 64))
# Type, shape, and experts chosen: most telling first.
_PLANS = (
    *(("bf16", shape, 2) for shape in _SHAPES),
    ("bf16", _SHAPES[1], 4),
    ("fp32", _SHAPES[0], 2),
    ("fp16", _SHAPES[1], 2),
    *(("bf16", _SHAPES[0], top_k) for top_k in (1, 3, 4)),
    ("bf16", Shape(1024, 112), 2),
    ("fp32", _SHAPES[1], 2),
)


def cases(context: Context) -> list[Case]:
    """List the cases, each with the four projections of one shape."""
    plans = [("bf16", Shape(16, 8), 2)] if context.is_dry_run else _PLANS
    n_tokens = 16 if context.is_dry_run else _N_TOKENS
    effort = Effort.exactly(1) if context.is_dry_run else Effort(most=15, seconds=0.005)

    def case(dtype: str, shape: Shape, top_k: int) -> Case:
        sizes = (64,) if context.is_dry_run else None
        plan = Plan(
            (shape,), (top_k,), (dtype,), n_tokens=n_tokens, effort=effort, peak_sizes=sizes
        )
        return Case(f"{shape} k={top_k} {dtype}", partial(_measure, plan, context))

    return [case(*which) for which in plans]


def _measure(plan: Plan, context: Context) -> Iterator[Findings]:
    products = all_products()
    if context.is_dry_run:
        # Minutes in the interpreter; the kernels have a part of their own.
        del products["triton"]
    problems: list[Findings] = []
    for projection in plan.projections:
        one = replace(plan, projections=(projection,))
        found = asdict(run_bench(one, context.device, products=products))
        problems += found["problems"]
        yield {"problems": problems, "peak_gflops": found["peak_gflops"]}
