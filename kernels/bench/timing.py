"""Timing several candidates in one process, in turn, so that what slows the machine slows all."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Timed = Callable[[], float]
"""Runs a candidate once and returns the seconds that it took."""

# First calls build, allocate and tune; slow ones need no more than one for that.
_N_WARM_UP_CALLS, _WARM_UP_SECONDS = 3, 0.05
# Launching a graph takes as long as a small product; several in one make up for that.
_CALLS_OF_A_GRAPH = 10


@dataclass(frozen=True)
class Effort:
    """How long candidates are timed.

    Attributes:
        fewest: Rounds that every candidate takes part in.
        most: Rounds after which all are done.
        seconds: A candidate that was timed for longer drops out after the fewest rounds.
    """

    fewest: int = 3
    most: int = 25
    seconds: float = 0.1

    @classmethod
    def exactly(cls, n_rounds: int) -> "Effort":
        """Return the effort of so many rounds, however long they take."""
        return cls(n_rounds, n_rounds, float("inf"))


def interleave(candidates: Mapping[str, Timed], effort: Effort) -> dict[str, list[float]]:
    """Time candidates in turn, round after round; each round begins with another one.

    Args:
        candidates: Warmed up before.
        effort: How many rounds.

    Returns:
        Seconds of each candidate, one per round that it took part in.
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
    """Return a call with its time, the device's work included."""

    def timed() -> float:
        started = clock()
        call()
        wait_for(device)
        return clock() - started

    return timed


def warm_up(
    call: Callable[[], object], device: torch.device, *, is_capturable: bool = True
) -> Timed:
    """Run a call a few times and return it timed; on CUDA as a graph, free of Python overhead.

    Args:
        call: What to time.
        device: Where it computes.
        is_capturable: False for a call with a device sync, which is timed without a graph: a
            failed capture can leave the allocator and random numbers unusable.
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
    """Wait until a device has done what it was given; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _graph_stopwatch(graph: torch.cuda.CUDAGraph, captured: Callable[[], object]) -> Timed:
    """Return replays of a graph with their time.

    Args:
        graph: What is replayed.
        captured: The call that it recorded. A graph reads its inputs by address and does not own
            them, so they must live as long as it does.
    """

    def timed(_owner: Callable[[], object] = captured) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / _CALLS_OF_A_GRAPH

    return timed


def _capture(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS_OF_A_GRAPH):
            call()
    graph.replay()
    wait_for(torch.device("cuda"))
    return graph
