"""Part: training steps with blocks compiled by torch.compile, eager and captured."""

import time
from collections.abc import Iterator
from functools import partial

import torch

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.configs import timed_configs
from switchhead_lab.benchmark.gpu.step_timing import time_step
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import build_model

_CASES = (
    ("small", "xl", "switchhead"),
    ("small", "xl", "dense"),
    ("large", "xl", "switchhead"),
    ("large", "xl", "dense"),
    ("pocket", "xl", "switchhead"),
    ("pocket", "xl", "dense"),
    ("small", "rope", "switchhead"),
    ("small", "rope", "dense"),
    ("small", "xl", "moa"),
)


def cases(context: Context) -> list[Case]:
    """List the cases."""

    def case(size: str, positions: str, name: str) -> Case:
        config = timed_configs(size, positions, is_dry_run=context.is_dry_run)[name]
        return Case(f"{size} {positions} {name}", partial(_measure, config, context))

    return [case(*which) for which in (_CASES[:1] if context.is_dry_run else _CASES)]


def _measure(config: RunConfig, context: Context) -> Iterator[Findings]:
    torch.compiler.reset()
    model = build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()
    # On a CPU the compiler's own code generation is left out: it takes minutes.
    model.compile_blocks("aot_eager" if context.is_dry_run else "inductor")
    started = time.monotonic()
    yield {"compiled": time_step(model, config, context, captures=False)}
    yield {"seconds_with_compilation": time.monotonic() - started}
    yield {"compiled and captured": time_step(model, config, context, captures=True)}
