"""Part: where a step's time goes, by kernel."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from switchhead_kernels.bench import stopwatch
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.configs import timed_model
from switchhead_lab.benchmark.gpu.step_timing import release_memory
from switchhead_lab.benchmark.step import build_training_model, numbered_steps, step_runner_of
from switchhead_lab.config.schema import RunConfig

_NAMES = ("small xl switchhead", "large xl switchhead", "small xl dense", "large xl dense")
_N_STEPS = 3
_N_LISTED = 15


def cases(context: Context) -> list[Case]:
    """List the cases."""
    names = _NAMES[:1] if context.is_dry_run else _NAMES
    models = [timed_model(name, is_dry_run=context.is_dry_run) for name in names]
    return [Case(timed.name, partial(_profile, timed.config, context)) for timed in models]


def _profile(config: RunConfig, context: Context) -> Iterator[Findings]:
    runner = step_runner_of(build_training_model(config), config, context.setup)
    take = numbered_steps(runner.step)
    for _ in range(config.model.context_multiple + 1):
        take()
    timed = stopwatch(take, context.device)
    # Timed without the profiler, which slows the host.
    yield {"wall_ms": 1e3 * sum(timed() for _ in range(_N_STEPS)) / _N_STEPS}
    is_cuda = context.device.type == "cuda"
    # Kernels only: processing a step's thousands of operator events takes seconds.
    with profile(
        activities=[ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU]
    ) as profiler:
        for _ in range(_N_STEPS):
            timed()
    yield _largest(profiler.key_averages(), is_cuda)
    release_memory(context)


def _largest(events: Any, is_cuda: bool) -> Findings:
    """Return the kernels (on a CPU, the operators) that take most of a step's time."""

    def microseconds(event: Any) -> float:
        return float(event.self_device_time_total if is_cuda else event.self_cpu_time_total)

    # On a GPU, operators repeat the time of their kernels.
    kernels = [event for event in events if not is_cuda or _is_on_device(event)]
    total = sum(map(microseconds, kernels))
    ranked = sorted(kernels, key=microseconds, reverse=True)[:_N_LISTED]
    return {
        "device_ms": total / 1e3 / _N_STEPS,
        "n_launches": sum(event.count for event in kernels) / _N_STEPS,
        "largest": [
            {
                "name": event.key,
                "calls": event.count / _N_STEPS,
                "ms": microseconds(event) / 1e3 / _N_STEPS,
                "fraction": microseconds(event) / total,
            }
            for event in ranked
        ],
    }


def _is_on_device(event: Any) -> bool:
    # User annotations, such as the optimizer's, span kernels with their own entries.
    is_annotation = getattr(event, "is_user_annotation", False)
    return bool(event.device_type != torch.autograd.DeviceType.CPU) and not is_annotation
