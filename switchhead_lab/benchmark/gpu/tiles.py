"""Part: each kernel of an expert matmul alone, with the rule's tile and with every other tile.

Sorting, casts and the operator's overhead are excluded; sums over slots are included.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from switchhead_kernels.bench import Plan, Shape, interleave
from switchhead_kernels.bench.problems import Inputs, Problem, make_inputs, problems_of
from switchhead_kernels.bench.timing import warm_up
from switchhead_kernels.expert_matmul import make_routing
from switchhead_kernels.expert_matmul.slots import slots_of
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.product_timing import best_matmul, effort, n_tokens

_TOP_K = 2
_SHAPES = (Shape(1024, 132), Shape(412, 76), Shape(2048, 128))
_PROJECTIONS = ("value", "output")


def cases(context: Context) -> list[Case]:
    """List the cases: value and output projections in bf16 at each shape."""
    shapes = (Shape(16, 8),) if context.is_dry_run else _SHAPES
    plan = Plan(shapes, (_TOP_K,), projections=_PROJECTIONS, n_tokens=n_tokens(context))
    return [
        Case(f"{shape} {problem.projection}", partial(_measure, problem, context))
        for shape in shapes
        for problem in problems_of(plan, shape, "bf16")
    ]


def _measure(problem: Problem, context: Context) -> Iterator[Findings]:
    device = context.device
    yield {"peak_gflops": best_matmul(problem.dtype, context)}
    for kernel, calls in _kernels(problem, make_inputs(problem, device)).items():
        timed = {}
        for tile, call in calls.items():
            try:
                timed[tile] = warm_up(call, device)
            except RuntimeError as error:  # the device rejects this tile
                yield {f"{kernel} {tile}": str(error).splitlines()[0]}
        gflops = {
            tile: 2e-9 * problem.macs / statistics.median(seconds)
            for tile, seconds in interleave(timed, effort(context)).items()
        }
        yield {kernel: {"rule": next(iter(calls)), "gflops": gflops}}


def _kernels(problem: Problem, inputs: Inputs) -> dict[str, dict[str, Callable[[], object]]]:
    """Return each kernel's launches by tile, the rule's tile first."""
    # Deferred: imports Triton.
    from switchhead_kernels.expert_matmul import triton_backward, triton_forward
    from switchhead_kernels.expert_matmul.triton_forward import Routed

    routing = make_routing(inputs.index_NHK, problem.n_experts)
    assert inputs.gate_NHK is not None, "projections of attention have gates"
    gate = inputs.gate_NHK.detach().flatten().contiguous()
    routed = Routed(routing.order_S, routing.offset_G1, gate, deterministic=True, precision="ieee")
    slots = slots_of(problem.n_heads, problem.top_k, problem.rows_in, problem.rows_out)
    per = (slots.per_input, slots.per_output)
    x = inputs.x.detach().flatten(0, -2).contiguous()
    exact_weight = inputs.weight_HEXY.detach().flatten(0, 1).contiguous()
    weight = triton_forward.as_factor(exact_weight, x.dtype)
    grad = inputs.grad.flatten(0, -2).contiguous()
    return {
        "forward": _by_tile(
            triton_forward.fitting_tiles(x, weight, routed),
            lambda tile: triton_forward.multiply_rows(x, weight, routed, per, config=tile),
        ),
        "input gradient": _by_tile(
            triton_forward.fitting_tiles(grad, weight.transpose(1, 2), routed, has_dots=True),
            lambda tile: triton_backward.input_gradient(
                grad, x, weight, routed, slots, config=tile
            ),
        ),
        "weight gradient": _by_tile(
            triton_backward.fitting_tiles(x, weight),
            lambda tile: triton_backward.weight_gradient(
                # Into float32, as in training.
                grad,
                x,
                exact_weight,
                routed,
                slots,
                config=tile,
            ),
        ),
    }


def _by_tile(
    tiles: tuple[Any, ...], launch: Callable[[Any], object]
) -> dict[str, Callable[[], object]]:
    return {_name(tile): partial(launch, tile) for tile in tiles}


def _name(tile: Any) -> str:
    sizes = "x".join(str(tile.kwargs[f"BLOCK_{axis}"]) for axis in "MNK")
    from switchhead_kernels.expert_matmul.triton_configs import LoopedConfig

    looped = " looped" if isinstance(tile, LoopedConfig) else ""
    return f"{sizes}{looped} w{tile.num_warps} s{tile.num_stages}"
