"""Interleaved timing of candidates in one process, so that a slow machine slows all alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Timed = Callable[[], float]
"""Runs a candidate once and returns its seconds."""

# First calls build, allocate and tune; one is enough for slow candidates.
_N_WARM_UP_CALLS, _WARM_UP_SECONDS = 3, 0.05
# A graph launch takes as long as a small matmul, so a graph holds several calls.
_CALLS_PER_GRAPH = 10


@dataclass(frozen=True)
class Effort:
    """How long to time candidates.

    Attributes:
        fewest: Rounds of every candidate.
        most: Most rounds of a candidate.
        seconds: A candidate timed for longer stops after the fewest rounds.
    """

    fewest: int = 3
    most: int = 25
    seconds: float = 0.1

    @classmethod
    def exactly(cls, n_rounds: int) -> "Effort":
        """Return an effort of exactly `n_rounds`, with no time limit."""
        return cls(n_rounds, n_rounds, float("inf"))


def interleave(candidates: Mapping[str, Timed], effort: Effort) -> dict[str, list[float]]:
    """Time candidates in turn, round by round; each round starts with the next one.

    Args:
        candidates: Already warmed up.
        effort: How many rounds.

    Returns:
        Seconds of each candidate, one per timed round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for number in range(effort.most):
        start = number % len(names) if names else 0
        for name in names[start:] + names[:start]:
            if number < effort.fewest or sum(seconds[name]) < effort.seconds:
                seconds[name].append(candidates[name]())
    return seconds


def stopwatch(
    call: Callable[[], object],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Timed:
    """Wrap a call to return its seconds, including work on the device."""

    def timed() -> float:
        started = clock()
        call()
        wait_for(device)
        return clock() - started

    return timed


def warm_up(
    call: Callable[[], object], device: torch.device, *, is_capturable: bool = True
) -> Timed:
    """Warm a call up and return it timed; on CUDA as a graph, without Python overhead.

    Args:
        call: What to time.
        device: Where it computes.
        is_capturable: False for a call with a device sync, which is timed without a graph,
            since a failed capture can leave the allocator and generators unusable.
    """
    timed = stopwatch(call, device)
    seconds = 0.0
    for _ in range(_N_WARM_UP_CALLS):
        if seconds < _WARM_UP_SECONDS:
            seconds += timed()
    if device.type != "cuda" or not is_capturable:
        return timed
    return _graph_stopwatch(_capture(call), call)


def wait_for(device: torch.device) -> None:
    """Wait for all queued work of a device; nothing to wait for on a CPU."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _graph_stopwatch(graph: torch.cuda.CUDAGraph, captured: Callable[[], object]) -> Timed:
    """Return a timed replay of a graph.

    Args:
        graph: The graph to replay.
        captured: The captured call. A graph reads its inputs by address without owning them, so
            they must outlive it.
    """

    def timed(_owner: Callable[[], object] = captured) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / _CALLS_PER_GRAPH

    return timed


def _capture(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS_PER_GRAPH):
            call()
    graph.replay()
    wait_for(torch.device("cuda"))
    return graph
