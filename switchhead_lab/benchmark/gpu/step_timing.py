"""Timing one model's training step, alone on the device: eager, compiled or captured."""

import gc
from dataclasses import asdict

import torch

from switchhead_kernels.bench import Effort, interleave, stopwatch
from switchhead_lab.benchmark.gpu.case import Context, Findings
from switchhead_lab.benchmark.step import numbered_steps, step_runner_of, step_speed
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import Transformer

# Three eager steps with full memory, then the capture and its first replay.
_WARM_UP_STEPS = 5
_EFFORT = Effort(fewest=5, most=30, seconds=1.0)
_EFFORT_DRY = Effort.exactly(1)


def time_step(
    model: Transformer, config: RunConfig, context: Context, *, captures: bool
) -> Findings:
    """Time whole steps: batch to device, forward, backward, clipping, AdamW, one device sync.

    The micro-batch is halved until the step fits into memory.

    Args:
        model: The model; the steps train it.
        config: Its configuration.
        context: Where it runs.
        captures: Whether to replay the step as a CUDA graph.
    """
    rows = config.training.micro_batch_size
    release_memory(context)
    while True:
        training = {"capture_step": captures, "micro_batch_size": rows}
        split = config.model_copy(update={"training": config.training.model_copy(update=training)})
        try:
            return _time(model, split, context) | {"micro_batch_size": rows}
        except torch.OutOfMemoryError:
            if rows % 2:
                raise
            rows //= 2
        finally:
            model.zero_grad(set_to_none=True)
            release_memory(context)


def release_memory(context: Context) -> None:
    """Free cached memory and reset peak statistics, so that they cover the next step alone."""
    gc.collect()
    if context.device.type == "cuda":
        # cuBLAS keeps a workspace per stream, and each capture has its own stream.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)


def _time(model: Transformer, config: RunConfig, context: Context) -> Findings:
    take = numbered_steps(step_runner_of(model, config, context.setup).step)
    for _ in range(config.model.context_multiple + _WARM_UP_STEPS):
        take()
    timed = {"": stopwatch(take, context.device)}
    seconds = interleave(timed, _EFFORT_DRY if context.is_dry_run else _EFFORT)[""]
    speed = asdict(step_speed(config, seconds))
    return speed | {"n_steps": len(seconds)} | _peak_memory(context)


def _peak_memory(context: Context) -> Findings:
    if context.device.type != "cuda":
        return {}
    return {
        "peak_memory_bytes": torch.cuda.max_memory_allocated(context.device),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(context.device),
    }
