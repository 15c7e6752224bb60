"""Host code of the Triton kernels, on fake CUDA tensors; kernels do not run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from comparison import PROJECTIONS, SHARED_MEMORY
from fake_cuda import DEVICE, OnDeviceOnly, fake_cuda
from torch import Tensor
from triton import Config

from switchhead_kernels.bench.candidates import all_matmuls, has_device_sync
from switchhead_kernels.bench.problems import Inputs, Problem, Shape
from switchhead_kernels.expert_matmul import (
    choose_backend,
    custom_op,
    make_routing,
    triton_configs,
    triton_matmul,
    triton_sums,
)
from switchhead_kernels.expert_matmul import triton_backward as of_backward
from switchhead_kernels.expert_matmul import triton_forward as of_forward
from switchhead_kernels.expert_matmul.slots import rows_shape

CAPTURED = [n for n in all_matmuls() if n != "cpu" and not has_device_sync(n, "bf16")]
MOST_PROGRAMS = (2**31 - 1, 2**16 - 1)  # by axis of the grid
# N, H, E, X, Y, K; rows of 2^31 elements and more in the last.
SIZES = {"usual": (33, 2, 5, 412, 76, 2), "huge": (2**19, 2, 8, 4096, 2048, 2)}


class NotRun:
    """A stand-in for a kernel that checks grid and arguments.

    Args:
        configs: Tiles that an autotuner would add to the arguments.
    """

    def __init__(self, configs: Sequence[Config] = ()) -> None:
        self.n_launches = 0
        self._added = [config.all_kwargs() for config in configs] or [{}]

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(*arguments: Any, **named: Any) -> None:
            for added in self._added:
                sizes = grid({**named, **added}) if callable(grid) else grid
                for size, most in zip(sizes, MOST_PROGRAMS, strict=False):
                    assert 0 < size <= most
            for value in (*arguments, *named.values()):
                assert not isinstance(value, Tensor) or value.device == DEVICE
            self.n_launches += 1

        return launch


@pytest.fixture(params=["H100", "L4"])
def kernels(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, NotRun]]:
    made = {name: NotRun() for name in ("product", "sum", "weight_gradient")}
    made["measured"] = NotRun(triton_matmul.MEASURED)
    monkeypatch.setattr(of_forward, "matmul_kernel", made["product"])
    monkeypatch.setattr(of_forward, "measured_matmul_kernel", made["measured"])
    monkeypatch.setattr(triton_sums, "sum_kernel", made["sum"])
    monkeypatch.setattr(of_backward, "weight_gradient_kernel", made["weight_gradient"])
    shared_memory = SHARED_MEMORY[request.param]
    monkeypatch.setattr(triton_configs, "shared_memory_of", lambda _: shared_memory)
    with fake_cuda(monkeypatch):
        yield made


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("deterministic", [True, False], ids=["fixed", "measured"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_launches_stay_on_the_device_and_return_what_the_operator_declares(
    kernels, projection: str, sizes: str, deterministic: bool, dtype: torch.dtype
) -> None:
    N, H, E, X, Y, K = SIZES[sizes]
    rows_in, rows_out = PROJECTIONS[projection]
    choices = (N, H, K)
    x = torch.empty(rows_shape(choices, rows_in, X), dtype=dtype, device=DEVICE)
    grad = torch.empty(rows_shape(choices, rows_out, Y), dtype=dtype, device=DEVICE)
    weight = torch.empty(H, E, X, Y, device=DEVICE)
    index = torch.empty(choices, dtype=torch.int64, device=DEVICE)
    gate = torch.empty(choices, device=DEVICE)
    with OnDeviceOnly():
        routing = make_routing(index, E)
        by_order = (routing.order_S, routing.offset_G1)
        options = (rows_in, rows_out, "triton", deterministic, "ieee")
        inputs = (x, weight, index, *by_order, gate, *options)
        ours = [custom_op._forward(*inputs), *custom_op._backward(grad, *inputs)]
        declared = [custom_op.expert_matmul_op(*inputs), *custom_op._backward_op(grad, *inputs)]
    for made, expected in zip(ours, declared, strict=True):
        assert (made.shape, made.dtype, made.device) == (expected.shape, expected.dtype, DEVICE)
    assert kernels["product" if deterministic else "measured"].n_launches == 2
    assert kernels["weight_gradient"].n_launches == 1


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_candidates_do_not_sync_with_the_device(kernels, name: str) -> None:
    N, H, E, X, Y, K = 64, 2, 4, 32, 16, 2
    problem = Problem("value", Shape(X, Y), "bf16", N, H, E, K, X, Y, "token", "head")
    inputs = Inputs(
        torch.empty(N, X, dtype=torch.bfloat16, device=DEVICE),
        torch.empty(H, E, X, Y, device=DEVICE),
        torch.empty(N, H, K, dtype=torch.int64, device=DEVICE),
        torch.empty(N, H, K, device=DEVICE),
        torch.empty(N, H, Y, dtype=torch.bfloat16, device=DEVICE),
    )
    with OnDeviceOnly():
        assert all_matmuls()[name](problem, inputs).shape == (N, H, Y)


def test_auto_is_triton_for_rows_that_it_supports(kernels) -> None:
    weight = torch.empty(2, 4, 8, 8, device=DEVICE)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        rows = torch.empty(3, 8, dtype=dtype, device=DEVICE)
        assert choose_backend(rows, weight, 2) == "triton"
    rows = torch.empty(3, 8, dtype=torch.float64, device=DEVICE)
    assert choose_backend(rows, weight, 2) == "dense"
