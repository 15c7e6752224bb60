"""CUDA tensors without data, on any machine: shapes, types, devices and autocast are CUDA's.

What would wait for the device raises where it is asked. PyTorch's backward engine needs streams of
the device, so `run_backward` walks the graph in its place.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from switchhead_lab.model import sequence_plan

DEVICE = torch.device("cuda:0")
# Of `at::DeviceType` (c10/core/DeviceType.h).
_CUDA, _META = 1, 14


class OnDeviceOnly(TorchDispatchMode):
    """Refuses tensors on the CPU: made there, moved there or back, or mixed into an operation.

    Fake tensors themselves refuse what reads a number (`item`, `bool`) or a shape (`nonzero`).
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _require_on_device(func, (args, kwargs))
        result = func(*args, **kwargs)
        _require_on_device(func, result)
        return result


def _require_on_device(func: Any, values: Any) -> None:
    for value in tree_leaves(values):
        # Checkpointing in PyTorch 2.11 makes an empty tensor on the CPU, which moves nothing.
        if isinstance(value, Tensor) and value.numel():
            assert value.device == DEVICE, f"{func} has a tensor on {value.device}"


class _Answering(TorchDispatchMode):
    """Returns a given answer instead of running one operation."""

    def __init__(self, operation: Any, answer: object) -> None:
        super().__init__()
        self._operation, self._answer = operation, answer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_answered = func._overloadpacket is self._operation
        return self._answer if is_answered else func(*args, **(kwargs or {}))


def set_up() -> TorchDispatchMode:
    """Return a context for what may wait for the device: every number that is read is 1."""
    return _Answering(torch.ops.aten._local_scalar_dense, 1)


def without_adamw() -> TorchDispatchMode:
    """Return a context in which fused AdamW does nothing: it has no kernel for fake tensors."""
    return _Answering(torch.ops.aten._fused_adamw_, None)


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make CUDA tensors fake ones."""
    _set_device_guard()
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.cuda, "_exchange_device", lambda _: -1)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", lambda _: -1)
    monkeypatch.setattr(Tensor, "backward", run_backward)
    # Else a checkpointed block is computed again for each tensor that it saved.
    monkeypatch.setattr(torch._C, "_current_graph_task_id", lambda: 0)
    sequence_plan._constants.cache_clear()  # may hold tensors with data, and must not keep fakes
    with FakeTensorMode(allow_non_fake_inputs=True, allow_fallback_kernels=False):
        yield
    sequence_plan._constants.cache_clear()


def _set_device_guard() -> None:
    """Register something where PyTorch asks for the current CUDA device.

    `FakeTensorMode` does it itself where PyTorch was built with CUDA.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(
        library, "_ZN3c104impl26device_guard_impl_registryE"
    )
    assert guards[_META], "the meta device has a guard, one that does nothing"
    guards[_CUDA] = guards[_CUDA] or guards[_META]


def run_backward(loss: Tensor) -> None:
    """Add the gradients of a scalar to its leaves, as `Tensor.backward` does."""
    root = loss.grad_fn
    assert root is not None, "the loss has a gradient"
    grads: dict[Node, dict[int, Tensor]] = {root: {0: torch.ones_like(loss.detach())}}
    with torch.no_grad():
        for node in _from_root(root):
            given = grads.pop(node, {})
            if hasattr(node, "variable"):
                _accumulate(node.variable, given)
            elif given:
                for (following, position), grad in _gradients(node, given):
                    of_node = grads.setdefault(following, {})
                    before = of_node.get(position)
                    of_node[position] = grad if before is None else before + grad


def _from_root(root: Node) -> list[Node]:
    """Return the nodes of a graph, each before those that its gradients go to."""
    done: list[Node] = []
    seen: set[Node] = set()
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, is_left = waiting.pop()
        if is_left:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(following, False) for following, _ in node.next_functions if following]
    return done[::-1]


def _gradients(node: Node, given: dict[int, Tensor]) -> Iterator[tuple[tuple[Node, int], Tensor]]:
    """Run a node; yield where its gradients go, with those."""
    is_function = isinstance(node, BackwardCFunction)
    # Functions without gradients of their outputs take zeros, save those that ask for None.
    fills = is_function and "_Forms" not in node.name()
    taken = [_fitted(given.get(i), like, fills) for i, like in enumerate(node._input_metadata)]
    call: Callable[..., Any] = node.apply if is_function else node
    results = call(*taken)
    results = results if isinstance(results, tuple) else (results,)
    edges = node.next_functions
    if is_function:  # its edges are those of tensors, its results those of all arguments
        results = [x for x, needed in zip(results, node.needs_input_grad, strict=True) if needed]
        edges = [edge for edge in edges if edge[0] is not None]
    for edge, grad in zip(edges, results, strict=True):
        if edge[0] is not None and grad is not None:
            yield edge, grad


def _fitted(grad: Tensor | None, like: Any, fills: bool) -> Tensor | None:
    """Return a gradient in its tensor's shape and type, as the engine passes it on."""
    if grad is None:
        return torch.zeros(like.shape, dtype=like.dtype, device=like.device) if fills else None
    assert grad.device == like.device, f"a gradient on {grad.device} of a tensor on {like.device}"
    return grad.sum_to_size(like.shape).to(like.dtype)


def _accumulate(leaf: Tensor, given: dict[int, Tensor]) -> None:
    grad = _fitted(given.get(0), leaf, fills=False)
    if grad is not None:
        leaf.grad = grad if leaf.grad is None else leaf.grad + grad
