"""Part: training steps of dense, SwitchHead and MoA models, each alone on the device: Table 5."""

from collections.abc import Iterator
from functools import partial

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.configs import TimedModel, timed_models
from switchhead_lab.benchmark.gpu.step_timing import time_step
from switchhead_lab.benchmark.step import build_training_model

# Size and positions, most informative first.
_GROUPS = (
    ("small", "xl"),
    ("large", "xl"),
    ("pocket", "xl"),
    ("small", "rope"),
    ("pocket", "rope"),
    ("large", "rope"),
)


def cases(context: Context) -> list[Case]:
    """List the cases: one per model and size, eager and captured."""
    groups = (_GROUPS[0], _GROUPS[3]) if context.is_dry_run else _GROUPS
    return [
        Case(timed.name, partial(_measure, timed, context))
        for size, positions in groups
        for timed in timed_models(size, positions, is_dry_run=context.is_dry_run)
    ]


def _measure(timed: TimedModel, context: Context) -> Iterator[Findings]:
    config = timed.config
    yield timed.origin
    model = build_training_model(config)
    yield {"eager": time_step(model, config, context, captures=False)}
    yield {"captured": time_step(model, config, context, captures=True)}
