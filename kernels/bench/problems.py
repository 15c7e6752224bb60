"""The timed problems: every projection with experts, at the shapes of models.

Letters: N tokens, H heads, E experts per head, K chosen per token and head, X width in, Y width
out.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from switchhead_kernels.bench.timing import Effort
from switchhead_kernels.expert_matmul import Rows

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOP_KS = (1, 2, 3, 4)
_N_HEADS, _N_EXPERTS = 2, 5
# The sigma-MoE feed-forward of SwitchAll: no heads, more and wider experts.
_FF_EXPERTS, _FF_TOP_K, _D_EXPERT = 16, 4, 128


@dataclass(frozen=True)
class Shape:
    """Widths of a model.

    Attributes:
        d_model: Residual width.
        d_head: Width of a head.
    """

    d_model: int
    d_head: int

    def __str__(self) -> str:
        return f"{self.d_model}/{self.d_head}"


SHAPES = (Shape(128, 32), Shape(256, 64), Shape(412, 76), Shape(1024, 112))


@dataclass(frozen=True)
class Plan:
    """What a bench times.

    Attributes:
        shapes: Widths of models.
        top_ks: Experts chosen per token and head, for the projections of attention.
        dtypes: Keys of `DTYPES`.
        projections: Which of "value", "output", "up" and "down".
        n_tokens: Tokens.
        effort: Number of rounds.
        times_reference: Whether to time the definition too, which is tens of times slower.
    """

    shapes: tuple[Shape, ...] = SHAPES
    top_ks: tuple[int, ...] = TOP_KS
    dtypes: tuple[str, ...] = ("fp32", "bf16")
    projections: tuple[str, ...] = ("value", "output", "up", "down")
    n_tokens: int = 4096
    effort: Effort = field(default_factory=Effort)
    times_reference: bool = False


@dataclass(frozen=True)
class Problem:
    """One matmul of rows with the weights of their experts.

    Attributes:
        projection: "value", "output", "up" or "down".
        shape: Widths of the model.
        dtype: Key of `DTYPES`, of rows and matmuls; weights are float32, as in training.
        n_tokens: N.
        n_heads: H.
        n_experts: E.
        top_k: K.
        width_in: X.
        width_out: Y.
        rows_in: What a slot's input row belongs to.
        rows_out: What a slot's product is added to.
        has_gate: Whether products are gated.
    """

    projection: str
    shape: Shape
    dtype: str
    n_tokens: int
    n_heads: int
    n_experts: int
    top_k: int
    width_in: int
    width_out: int
    rows_in: Rows
    rows_out: Rows
    has_gate: bool = True

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the chosen experts in the forward pass."""
        n_slots = self.n_tokens * self.n_heads * self.top_k
        return n_slots * self.width_in * self.width_out


def problems_of(plan: Plan, shape: Shape, dtype: str) -> Iterator[Problem]:
    """Yield the problems of one shape and dtype."""
    every = _all_problems(plan, shape, dtype)
    yield from (problem for problem in every if problem.projection in plan.projections)


def _all_problems(plan: Plan, shape: Shape, dtype: str) -> Iterator[Problem]:
    d_model, d_head = shape.d_model, shape.d_head
    common = (shape, dtype, plan.n_tokens)
    experts = [(_N_HEADS, _N_EXPERTS, top_k) for top_k in plan.top_ks]
    for sizes in experts:
        yield Problem("value", *common, *sizes, d_model, d_head, "token", "head")
    for sizes in experts:
        yield Problem("output", *common, *sizes, d_head, d_model, "head", "token")
    sizes = (1, _FF_EXPERTS, _FF_TOP_K)
    yield Problem("up", *common, *sizes, d_model, _D_EXPERT, "token", "slot", has_gate=False)
    yield Problem("down", *common, *sizes, _D_EXPERT, d_model, "slot", "token")


def groups_of(plan: Plan) -> list[tuple[Shape, str]]:
    """Return every pair of shape and dtype."""
    return list(itertools.product(plan.shapes, plan.dtypes))


@dataclass(frozen=True)
class Inputs:
    """Tensors of a problem; differentiable ones require gradients.

    Attributes:
        x: Shape [N, X], [N, H, X] or [N, H, K, X].
        weight_HEXY: Shape [H, E, X, Y].
        index_NHK: Shape [N, H, K], int64.
        gate_NHK: Shape [N, H, K], float32; None without gates.
        grad: Gradient of the output, shape [N, Y], [N, H, Y] or [N, H, K, Y].
    """

    x: Tensor
    weight_HEXY: Tensor
    index_NHK: Tensor
    gate_NHK: Tensor | None
    grad: Tensor

    @property
    def differentiable(self) -> list[Tensor]:
        """The inputs that have gradients."""
        return [self.x, self.weight_HEXY, *([] if self.gate_NHK is None else [self.gate_NHK])]

    def first(self, n_tokens: int) -> "Inputs":
        """Return the inputs of the first tokens only."""
        gate = None if self.gate_NHK is None else _leaf(self.gate_NHK[:n_tokens])
        x, index = _leaf(self.x[:n_tokens]), self.index_NHK[:n_tokens]
        return Inputs(x, self.weight_HEXY, index, gate, self.grad[:n_tokens])

    def in_float64(self) -> "Inputs":
        """Return the same values in float64."""
        gate = None if self.gate_NHK is None else _leaf(self.gate_NHK.double())
        x, weight = _leaf(self.x.double()), _leaf(self.weight_HEXY.double())
        return Inputs(x, weight, self.index_NHK, gate, self.grad.double())


def make_inputs(problem: Problem, device: torch.device) -> Inputs:
    """Draw the tensors of a problem: the same in every call on one device type."""
    N, H, E, K = problem.n_tokens, problem.n_heads, problem.n_experts, problem.top_k
    generator = seeded_generator(device)
    options = {"generator": generator, "device": generator.device}
    scores, index = torch.rand(N, H, E, **options).topk(K, dim=-1)

    def draw(rows: str, width: int) -> Tensor:
        leading = {"token": (N,), "head": (N, H), "slot": (N, H, K)}[rows]
        return torch.randn(*leading, width, **options).to(device, DTYPES[problem.dtype])

    weight = torch.randn(H, E, problem.width_in, problem.width_out, **options)
    return Inputs(
        _leaf(draw(problem.rows_in, problem.width_in)),
        _leaf((weight * problem.width_in**-0.5).to(device)),
        index.to(device),
        _leaf(scores.to(device)) if problem.has_gate else None,
        draw(problem.rows_out, problem.width_out),
    )


def seeded_generator(device: torch.device) -> torch.Generator:
    """Return a generator: on the GPU for CUDA, where drawing is much faster, else on the CPU."""
    return torch.Generator(device if device.type == "cuda" else "cpu").manual_seed(0)


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()
