"""Part: training steps with blocks compiled by torch.compile, eager and captured."""

import time
from collections.abc import Iterator
from functools import partial

import torch

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.configs import TimedModel, timed_model
from switchhead_lab.benchmark.gpu.step_timing import time_step
from switchhead_lab.benchmark.step import build_training_model

_NAMES = (
    "small xl switchhead",
    "small xl dense",
    "large xl switchhead",
    "large xl dense",
)


def cases(context: Context) -> list[Case]:
    """List the cases."""
    names = _NAMES[:1] if context.is_dry_run else _NAMES
    models = [timed_model(name, is_dry_run=context.is_dry_run) for name in names]
    return [Case(timed.name, partial(_measure, timed, context)) for timed in models]


def _measure(timed: TimedModel, context: Context) -> Iterator[Findings]:
    config = timed.config
    yield timed.origin
    torch.compiler.reset()
    model = build_training_model(config)
    # Code generation for a CPU takes minutes, so a dry run skips it.
    model.compile_blocks("aot_eager" if context.is_dry_run else "inductor")
    started = time.monotonic()
    yield {"compiled": time_step(model, config, context, captures=False)}
    yield {"seconds_with_compilation": time.monotonic() - started}
    yield {"compiled and captured": time_step(model, config, context, captures=True)}
