"""A training step recorded once and replayed as one launch: a CUDA graph of the whole step.

A step of a small model launches more than a thousand kernels of a few microseconds each; launching
them from Python takes longer than running them.
"""

import gc
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from switchhead_lab.model.transformer import Memory

# Eager steps before capture: they compile and tune kernels and allocate optimiser moments.
_N_EAGER_STEPS = 3

MicroBatches = list[tuple[Tensor, Tensor]]
"""Inputs and targets of each micro-batch, on the device."""


class TakenStep(NamedTuple):
    """Results of a step, on the device; not synchronised yet.

    Attributes:
        loss_sum: Scalar: the summed loss in nats.
        norm: Scalar: global gradient norm before clipping.
        memories: Memory of each micro-batch for the next step.
    """

    loss_sum: Tensor
    norm: Tensor
    memories: list[Memory]


TakeStep = Callable[[MicroBatches, int, list[Memory]], TakenStep]
"""Takes one step from the micro-batches, the number of targets and each micro-batch's memory."""


class StepGraph(Protocol):
    """A recording of device work that reads and writes the same memory at every replay."""

    def run_eagerly(self, step: Callable[[], TakenStep]) -> TakenStep:
        """Take a step without recording it, on the stream used for recording."""

    def capture(self, step: Callable[[], TakenStep]) -> None:
        """Record a step without taking it."""

    def replay(self) -> TakenStep:
        """Take the recorded step; its results are overwritten by the next replay."""


class CudaStepGraph:
    """A CUDA graph whose eager steps run on its capture stream.

    Gradients are thus accumulated on that stream from the start.
    """

    def __init__(self, device: torch.device) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._stream = torch.cuda.Stream(device)
        self._taken: TakenStep | None = None

    def run_eagerly(self, step: Callable[[], TakenStep]) -> TakenStep:
        """Take a step without recording it."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            taken = step()
        current.wait_stream(self._stream)
        return taken

    def capture(self, step: Callable[[], TakenStep]) -> None:
        """Record a step without taking it."""
        was_collecting = gc.isenabled()
        # The collector could free an older graph during this capture.
        gc.disable()
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._taken = step()
        except RuntimeError as error:
            # Ending a failed capture raises another error, which hides the cause.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise
        finally:
            if was_collecting:
                gc.enable()

    def replay(self) -> TakenStep:
        """Take the recorded step."""
        assert self._taken is not None, "captured before it is replayed"
        self._graph.replay()
        return self._taken


class RepeatedStep:
    """Stand-in for a graph on other devices: calls the recorded step again.

    It reads the same buffers as a graph, so that their copies can be tested on a CPU.
    """

    def __init__(self) -> None:
        self._step: Callable[[], TakenStep] | None = None

    def run_eagerly(self, step: Callable[[], TakenStep]) -> TakenStep:
        """Take a step without recording it."""
        return step()

    def capture(self, step: Callable[[], TakenStep]) -> None:
        """Keep the step."""
        self._step = step

    def replay(self) -> TakenStep:
        """Take the kept step."""
        assert self._step is not None, "captured before it is replayed"
        return self._step()


class CapturedStep:
    """Takes steps like `take`, but replays a graph from the fourth step of one signature on.

    A signature is the shapes of micro-batches and memories and the number of targets. Only the
    first signature to reach its fourth step is captured; others stay eager, for example the first
    steps of a stream, whose memory is not yet full.

    Args:
        take: Takes a step without a device sync.
        graph: Records the step.
    """

    def __init__(self, take: TakeStep, graph: StepGraph) -> None:
        self._take, self._graph = take, graph
        self._n_seen: dict[object, int] = {}
        self._captured: object = None
        self._parts: MicroBatches = []
        self._memories: list[Memory] = []

    def __call__(self, parts: MicroBatches, n_targets: int, memories: list[Memory]) -> TakenStep:
        """Take a step; the next call may overwrite the tensors it returns."""
        signature = _signature(parts, n_targets, memories)
        if self._captured is None and self._n_seen.get(signature, 0) >= _N_EAGER_STEPS:
            self._capture(parts, n_targets, memories)
            self._captured = signature
        if signature != self._captured:
            self._n_seen[signature] = self._n_seen.get(signature, 0) + 1
            return self._graph.run_eagerly(lambda: self._take(parts, n_targets, memories))
        for static, given in zip(
            _tensors(self._parts, self._memories), _tensors(parts, memories), strict=True
        ):
            static.copy_(given)
        return self._graph.replay()

    def _capture(self, parts: MicroBatches, n_targets: int, memories: list[Memory]) -> None:
        # The graph reads these addresses at every replay.
        self._parts = [(inputs.clone(), targets.clone()) for inputs, targets in parts]
        self._memories = [tuple(layer.clone() for layer in memory) for memory in memories]
        self._graph.capture(lambda: self._take(self._parts, n_targets, self._memories))


def step_graph(device: torch.device) -> StepGraph:
    """Return an empty recording for a device."""
    return CudaStepGraph(device) if device.type == "cuda" else RepeatedStep()


def _signature(parts: MicroBatches, n_targets: int, memories: list[Memory]) -> object:
    return n_targets, tuple(tensor.shape for tensor in _tensors(parts, memories))


def _tensors(parts: MicroBatches, memories: list[Memory]) -> list[Tensor]:
    inputs_and_targets = [tensor for pair in parts for tensor in pair]
    return inputs_and_targets + [layer for memory in memories for layer in memory]
