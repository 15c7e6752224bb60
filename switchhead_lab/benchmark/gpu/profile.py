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
from switchhead_lab.benchmark.step import RandomBatches, numbered_steps
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import build_model
from switchhead_lab.training.objectives import build_objective
from switchhead_lab.training.step import Stepper

_NAMES = ("small xl switchhead", "large xl switchhead", "small xl dense", "large xl dense")
_N_STEPS = 3
_N_LISTED = 15


def cases(context: Context) -> list[Case]:
    """List the cases."""
    names = _NAMES[:1] if context.is_dry_run else _NAMES
    models = [timed_model(name, is_dry_run=context.is_dry_run) for name in names]
    return [Case(timed.name, partial(_profile, timed.config, context)) for timed in models]


def _profile(config: RunConfig, context: Context) -> Iterator[Findings]:
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()
    objective, batches = build_objective(config.objective), RandomBatches(config)
    take = numbered_steps(Stepper(config, model, objective, batches, context.host))
    for _ in range(config.model.context_multiple + 1):
        take()
    timed = stopwatch(take, context.device)
    # Before profiling, which slows the host.
    yield {"wall_ms": 1e3 * sum(timed() for _ in range(_N_STEPS)) / _N_STEPS}
    is_cuda = context.device.type == "cuda"
    # Kernels alone: a step's thousands of operators take seconds to evaluate.
    with profile(
        activities=[ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU]
    ) as profiler:
        for _ in range(_N_STEPS):
            timed()
    yield _largest(profiler.key_averages(), is_cuda)
    release_memory(context)


def _largest(events: Any, is_cuda: bool) -> Findings:
    """Return the kernels (on a CPU, the operators) that took most of a step, in milliseconds."""

    def microseconds(event: Any) -> float:
        return float(event.self_device_time_total if is_cuda else event.self_cpu_time_total)

    # On a GPU operators are listed beside their kernels, with the same time: kernels only.
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
    # An annotation, such as the optimizer's, spans kernels that are listed themselves.
    is_annotation = getattr(event, "is_user_annotation", False)
    return bool(event.device_type != torch.autograd.DeviceType.CPU) and not is_annotation
