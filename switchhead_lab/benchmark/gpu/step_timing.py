"""Timing one model's training step alone on the device: eager, compiled, or as a captured graph."""

import gc
import statistics

import torch

from switchhead_kernels.bench import Effort, interleave, stopwatch
from switchhead_lab.benchmark.gpu.case import Context, Findings
from switchhead_lab.benchmark.step import RandomBatches, numbered_steps, step_gflop
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.training.objectives import build_objective
from switchhead_lab.training.step import Stepper

# Three eager steps with full memory, then the capture and its first replay.
_WARM_UP_STEPS = 5
_EFFORT = Effort(fewest=5, most=30, seconds=2.0)
_EFFORT_DRY = Effort.exactly(1)


def time_step(
    model: Transformer, config: RunConfig, context: Context, *, captures: bool
) -> Findings:
    """Time whole steps: batch to device, forward, backward, clipping, AdamW, one device sync.

    Where the batch does not fit into memory it is split into more micro-batches.

    Args:
        model: The model; trained by the steps.
        config: Its configuration.
        context: Where it runs.
        captures: Whether the step is replayed as a CUDA graph.
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
    """Return unused memory to the device, so that the next peak is that of the next step."""
    gc.collect()
    if context.device.type == "cuda":
        # Matmuls keep a workspace for every stream, and each capture has a stream of its own.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)


def _time(model: Transformer, config: RunConfig, context: Context) -> Findings:
    objective, batches = build_objective(config.objective), RandomBatches(config)
    stepper = Stepper(config, model, objective, batches, context.host)
    take = numbered_steps(stepper)
    for _ in range(config.model.context_multiple + _WARM_UP_STEPS):
        take()
    timed = {"": stopwatch(take, context.device)}
    seconds = interleave(timed, _EFFORT_DRY if context.is_dry_run else _EFFORT)[""]
    median = statistics.median(seconds)
    quartiles = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [median] * 3
    return {
        "ms": 1e3 * median,
        "ms_quartiles": [1e3 * quartiles[0], 1e3 * quartiles[2]],
        "n_steps": len(seconds),
        "tokens_per_second": config.tokens_per_step / median,
        "gflop": step_gflop(config),
        **_peak_memory(context),
    }


def _peak_memory(context: Context) -> Findings:
    if context.device.type != "cuda":
        return {}
    return {
        "peak_memory_bytes": torch.cuda.max_memory_allocated(context.device),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(context.device),
    }
