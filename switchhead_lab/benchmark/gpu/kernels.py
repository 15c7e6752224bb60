"""Part: every Triton kernel on the device, against the definition in float64.

New memory is filled with NaN to detect elements that a kernel fails to write.
"""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from switchhead_kernels.bench import Plan, Shape
from switchhead_kernels.bench.candidates import (
    REFERENCE,
    backend_matmul,
    output_and_gradients,
    relative_difference,
)
from switchhead_kernels.bench.problems import Inputs, Problem, make_inputs, problems_of
from switchhead_kernels.expert_matmul import expert_matmul, make_routing
from switchhead_kernels.expert_matmul.op import Precision
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings, WrongResultError

# Relative Frobenius errors of the output and each gradient. Triton's interpreter, which truncates
# bf16, has 1.7e-7 (fp32), 3.5e-3 (bf16) and 3.0e-4 (fp16); tf32 keeps 10 bits like fp16. Limits are
# twice to ten times those.
TOLERANCE = {"fp32": 2e-6, "tf32": 2e-3, "fp16": 1e-3, "bf16": 8e-3}
_N_TOKENS, _N_TOKENS_DRY = 600, 5
_TOP_K = 2
# The paper's 47M size, a wide one, and one with odd widths.
_SHAPES = (Shape(412, 76), Shape(1024, 112), Shape(205, 41))
_SHAPE_DRY = Shape(33, 17)
_NAMES = ("output", "grad x", "grad weight", "grad gate")
# Offsets of the last rows need more than 31 bits.
_FAR_ROWS, _FAR_WIDTH, _CHECKED_ROWS = 2**21 + 128, 1024, 128


@dataclass(frozen=True)
class Mode:
    """How a matmul is computed.

    Attributes:
        dtype: Key of `DTYPES`.
        precision: Rounding of float32 operands.
        deterministic: False to use atomics and the autotuner.
    """

    dtype: str
    precision: Precision = "ieee"
    deterministic: bool = True

    @property
    def tolerance(self) -> float:
        """Largest relative error that rounding explains."""
        return TOLERANCE["tf32" if self.precision == "tf32" else self.dtype]

    def __str__(self) -> str:
        name = "tf32" if self.precision == "tf32" else self.dtype
        return name if self.deterministic else f"{name} atomics"


# Most informative first: each takes seconds, mostly for compilation.
_CHECKS = (
    (_SHAPES[0], Mode("bf16")),
    (_SHAPES[0], Mode("fp32")),
    (_SHAPES[2], Mode("bf16")),
    (_SHAPES[0], Mode("bf16", deterministic=False)),
    (_SHAPES[0], Mode("fp32", "tf32")),
    (_SHAPES[1], Mode("bf16")),
    (_SHAPES[0], Mode("fp16")),
    (_SHAPES[2], Mode("fp32")),
    (_SHAPES[0], Mode("fp32", deterministic=False)),
    (_SHAPES[1], Mode("fp32")),
    (_SHAPES[2], Mode("fp16")),
    (_SHAPES[2], Mode("fp32", "tf32")),
)
# The interpreter takes seconds for each; other tests cover the rest.
_CHECKS_DRY = ((_SHAPE_DRY, Mode("bf16")), (_SHAPE_DRY, Mode("fp32", deterministic=False)))
# Autotuning takes a second for each new shape, so these modes check only one projection.
_TUNED_PROJECTIONS = ("value",)


def cases(context: Context) -> list[Case]:
    """List the cases: types, shapes and modes, then memory beyond 31 bits."""
    pairs = _CHECKS_DRY if context.is_dry_run else _CHECKS
    checks = [
        Case(f"{shape} {mode}", partial(_check, shape, mode, context)) for shape, mode in pairs
    ]
    far = Case("far rows", partial(_check_far_rows, context))
    return [*checks[:5], far, *checks[5:]]


def _check(shape: Shape, mode: Mode, context: Context) -> Iterator[Findings]:
    """Check the projections with each pattern of choices."""
    n_tokens = _N_TOKENS_DRY if context.is_dry_run else _N_TOKENS
    plan = Plan(shapes=(shape,), top_ks=(_TOP_K,), dtypes=(mode.dtype,), n_tokens=n_tokens)
    wrong = []
    for problem in problems_of(plan, shape, mode.dtype):
        if not mode.deterministic and problem.projection not in _TUNED_PROJECTIONS:
            continue
        drawn = make_inputs(problem, context.device)
        patterns = _patterns(drawn.index_NHK, problem.n_experts)
        for pattern, index in list(patterns.items())[-1 if context.is_dry_run else 0 :]:
            found = _errors(problem, replace(drawn, index_NHK=index), mode)
            yield {f"{problem.projection}, {pattern}": found}
            wrong += [
                f"{problem.projection}, {pattern}, {name}: {error:.1e}"
                for name, error in found["errors"].items()
                if not error <= mode.tolerance
            ]
            if mode.deterministic and not found["repeats"]:
                wrong.append(f"{problem.projection}, {pattern}: two calls differ in bits")
    yield {"tolerance": mode.tolerance}
    if wrong:
        raise WrongResultError(f"tolerance {mode.tolerance:.0e}; {'; '.join(wrong)}")


def _patterns(index_NHK: Tensor, n_experts: int) -> dict[str, Tensor]:
    """Return routings from balanced to extreme; each token's experts are distinct."""
    K = index_NHK.shape[-1]
    half = max(K, n_experts // 2)
    scores_NHE = torch.rand(*index_NHK.shape[:2], n_experts, device=index_NHK.device)
    few, one = scores_NHE.clone(), scores_NHE.clone()
    few[..., half:] = -1.0
    one[..., 0] = 2.0
    return {
        "random": index_NHK,
        "experts without tokens": few.topk(K, dim=-1).indices,
        "one expert takes all": one.topk(K, dim=-1).indices,
    }


def _errors(problem: Problem, inputs: Inputs, mode: Mode) -> Findings:
    exact = output_and_gradients(backend_matmul(REFERENCE), problem, inputs.in_float64())
    product = backend_matmul("triton", deterministic=mode.deterministic, precision=mode.precision)
    with _poisoned_memory():
        first, second = (output_and_gradients(product, problem, inputs) for _ in range(2))
    pairs = zip(_NAMES, first, exact, strict=False)
    errors = {name: relative_difference(found, correct) for name, found, correct in pairs}
    repeats = all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
    return {"errors": errors, "repeats": repeats}


def _check_far_rows(context: Context) -> Iterator[Findings]:
    """Check rows whose offsets, in elements, need more than 31 bits."""
    device = context.device
    n_rows = _CHECKED_ROWS if context.is_dry_run else _FAR_ROWS
    width = 32 if context.is_dry_run else _FAR_WIDTH
    x = torch.empty(n_rows, width, dtype=torch.bfloat16, device=device).normal_()
    x.requires_grad_()
    weight = torch.randn(1, 2, width, 16, device=device) * width**-0.5
    index = (torch.arange(n_rows, device=device) % 2).view(-1, 1, 1)
    out = expert_matmul(
        x, weight, make_routing(index, 2), rows_in="token", rows_out="head", backend="triton"
    )
    grad = torch.randn_like(out)
    (grad_x,) = torch.autograd.grad(out, [x], grad)
    last = slice(n_rows - _CHECKED_ROWS, None)
    weights = weight[0, index[last].flatten()].double()
    exact = torch.einsum("nx,nxy->ny", x[last].detach().double(), weights)
    exact_grad = torch.einsum("ny,nxy->nx", grad[last, 0].double(), weights)
    errors = {
        "output": relative_difference(out[last, 0].detach(), exact),
        "grad x": relative_difference(grad_x[last], exact_grad),
    }
    tolerance = TOLERANCE["bf16"]
    yield {"last rows": {"errors": errors}, "n_elements": x.numel(), "tolerance": tolerance}
    if not all(error <= tolerance for error in errors.values()):
        raise WrongResultError(f"tolerance {tolerance:.0e}; {errors}")


@contextlib.contextmanager
def _poisoned_memory() -> Iterator[None]:
    """Fill new memory with NaN; PyTorch does so only in deterministic mode."""
    deterministic: Any = torch.utils.deterministic
    fill = deterministic.fill_uninitialized_memory
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic.fill_uninitialized_memory = True
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(False)
            deterministic.fill_uninitialized_memory = fill
