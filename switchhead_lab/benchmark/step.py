"""Time the whole training step of several models, interleaved in one process.

Tokens are random, since only shapes affect the time. Memory is carried as in training.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from switchhead_kernels.bench import Effort, interleave, matmul_peak, stopwatch
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.batches import Batch
from switchhead_lab.model.executed import executed_attention, executed_feedforward
from switchhead_lab.model.router import RoutedChoice, Router
from switchhead_lab.model.saved_tensors import saved_for_backward
from switchhead_lab.model.transformer import Memory, Transformer, build_model
from switchhead_lab.tracking.bench_record import step_id
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.training.compute_setup import ComputeSetup
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.training.step import StepRunner

# The backward pass has two matmuls for each forward one, and a MAC is two operations.
_FLOP_PER_MAC = 6
_WARM_UP_STEPS = 3
_ROUTING_CALLS = 5


@dataclass(frozen=True)
class StepSpeed:
    """The speed of a training step.

    Attributes:
        ms: Median time in milliseconds.
        ms_quartiles: First and third quartile.
        tokens_per_second: Tokens of a step over the median.
        gflop: Operations of all matmuls, forward and backward, in units of 1e9: executed MACs
            times 6.
    """

    ms: float
    ms_quartiles: tuple[float, float]
    tokens_per_second: float
    gflop: float


@dataclass(frozen=True)
class StepTime(StepSpeed):
    """One model's training step, compared with the first model's.

    Attributes:
        model: Name in the sweep.
        family: Kinds of its attention and feed-forward.
        step_id: Identity of the step; see `tracking.bench_record`.
        code: Identity of the code that computed it.
        relative_time: Time over the first model's.
        saved_floats: Floats that autograd saves for the backward pass of a micro-batch, without
            parameters.
        relative_saved_floats: The same over the first model's.
        peak_memory_bytes: Peak memory of the model on a GPU; None on other devices.
        bound_ms: Time of these operations at the speed of the best square matmul.
        times_bound: Median time over `bound_ms`.
        routing_fraction: Time of routers, top-k and bookkeeping, measured alone, over the median.
        rounds_ms: Time in each round, in milliseconds.
    """

    model: str
    family: str
    step_id: str
    code: str
    relative_time: float
    saved_floats: int
    relative_saved_floats: float
    peak_memory_bytes: int | None
    bound_ms: float
    times_bound: float
    routing_fraction: float
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True)
class StepBench:
    """Training steps of several models, timed interleaved.

    Attributes:
        peak_gflops: Speed of the best square matmul in the type of the steps, in GFLOP/s.
        n_rounds: Steps timed per model.
        steps: One entry per model, in order.
    """

    peak_gflops: float
    n_rounds: int
    steps: tuple[StepTime, ...]


def bench_steps(
    configs: dict[str, RunConfig],
    setup: ComputeSetup,
    n_rounds: int,
    progress: Callable[[str], None] = lambda _: None,
) -> StepBench:
    """Time the training steps of models, interleaved in rounds.

    Args:
        configs: Configurations by name; the first is the base of comparison.
        setup: Device and precision.
        n_rounds: Steps timed per model.
        progress: Called with a line at each stage.
    """
    runners: dict[str, Callable[[], object]] = {}
    facts: dict[str, _Facts] = {}
    for name, config in configs.items():
        progress(f"building {name}")
        allocated = _allocated(setup)
        runner = step_runner_of(build_training_model(config), config, setup)
        runners[name] = numbered_steps(runner.step)
        facts[name] = _facts(config, runner, runners[name], setup, allocated)
    progress(f"timing {n_rounds} steps of each model")
    timed = {name: stopwatch(call, setup.device) for name, call in runners.items()}
    seconds = interleave(timed, Effort.exactly(n_rounds))
    dtype = torch.bfloat16 if setup.precision == "bf16" else torch.float32
    peak = matmul_peak(dtype, setup.device)
    first = next(iter(configs))
    base = statistics.median(seconds[first]), facts[first].saved_floats
    steps = [
        _step_time(name, configs[name], seconds[name], facts[name], base, peak) for name in configs
    ]
    return StepBench(peak, n_rounds, tuple(steps))


@dataclass(frozen=True)
class _Facts:
    saved_floats: int
    peak_memory_bytes: int | None
    routing_seconds: float


class RandomBatches:
    """Endless batches of random tokens in continuing streams."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def at(self, step: int) -> Batch:
        """Return the batch of a step, from 0; only the first starts streams."""
        training, seq_len = self._config.training, self._config.model.seq_len
        rng = np.random.default_rng(step)
        shape = (training.batch_size, seq_len)
        # Token 0 may be padding.
        inputs = rng.integers(1, self._config.vocab_size, shape)
        objective = self._config.objective
        targets = rng.integers(0, self._config.n_outputs, objective.target_shape(*shape))
        return Batch(inputs, targets, starts_stream=step == 0 or not objective.carries_memory)


def build_training_model(config: RunConfig) -> Transformer:
    """Return the initialised model of a configuration, in training mode."""
    return build_model(config.model, config.vocab_size, config.seed, config.n_outputs).train()


def step_runner_of(model: Transformer, config: RunConfig, setup: ComputeSetup) -> StepRunner:
    """Return a runner that trains a model on random tokens."""
    return StepRunner(config, model, build_scorer(config), RandomBatches(config), setup)


def n_warm_up_steps(config: RunConfig) -> int:
    """Return how many steps a model takes before it is timed, with its memory filled."""
    return max(_WARM_UP_STEPS, config.model.context_multiple)


def numbered_steps(step: Callable[[int], object]) -> Callable[[], object]:
    """Return a callable that takes the next step, even past the configured last step.

    Args:
        step: Takes the step with a number, from 0.
    """
    number = 0

    def take() -> None:
        nonlocal number
        step(number)
        number += 1

    return take


def _facts(
    config: RunConfig,
    runner: StepRunner,
    take: Callable[[], object],
    setup: ComputeSetup,
    allocated: int,
) -> _Facts:
    """Warm up a model and measure everything except its step time.

    Args:
        config: Its configuration.
        runner: The model with its optimiser.
        take: Takes its next step.
        setup: Device and precision.
        allocated: Bytes allocated on the GPU by other models.
    """
    is_cuda = setup.device.type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(setup.device)
    for _ in range(n_warm_up_steps(config)):
        take()
    peak = torch.cuda.max_memory_allocated(setup.device) - allocated if is_cuda else None
    kept = _saved_floats(config, runner.model, setup)
    return _Facts(kept, peak, _routing_seconds(runner.model, take, setup))


def _allocated(setup: ComputeSetup) -> int:
    return torch.cuda.memory_allocated(setup.device) if setup.device.type == "cuda" else 0


def _saved_floats(config: RunConfig, model: Transformer, setup: ComputeSetup) -> int:
    """Count the floats saved by the forward pass of one micro-batch with full memory."""
    scorer = build_scorer(config)
    batch = scorer.prepare(
        RandomBatches(config).at(0), config.objective.training_draw(config.seed, 0)
    )
    rows = slice(0, config.training.micro_batch_size)
    inputs, targets = (
        torch.from_numpy(part[rows]).to(setup.device) for part in (batch.inputs_BT, batch.targets)
    )
    memory: Memory = ()
    with torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.precision == "bf16"):
        with torch.no_grad():
            for _ in range(config.model.context_multiple - 1):
                memory = scorer.score(model, inputs, targets, memory).memory
        with saved_for_backward(model.parameters()) as kept:
            scorer.score(model, inputs, targets, memory)
    return sum(kept.values())


def _routing_seconds(model: Transformer, take: Callable[[], object], setup: ComputeSetup) -> float:
    """Time the routers of a step with top-k and bookkeeping alone, forward and backward.

    The bookkeeping is that requested by the step's expert matmuls; not every backend sorts.
    """
    seen: list[tuple[Router, Tensor, RoutedChoice]] = []

    def see(router: Router, inputs: tuple[Tensor], routed: RoutedChoice) -> None:
        seen.append((router, inputs[0].detach(), routed))

    routers = [router for router in model.modules() if isinstance(router, Router)]
    hooks = [router.register_forward_hook(see) for router in routers]
    take()
    for hook in hooks:
        hook.remove()
    total = 0.0
    for router, x, routed in seen:
        asked = list(routed.routing.made)
        timed = stopwatch(_routing_call(router, x.requires_grad_(), asked), setup.device)
        total += statistics.median([timed() for _ in range(_ROUTING_CALLS)][1:])
    return total


def _routing_call(router: Router, x: Tensor, asked: list[str]) -> Callable[[], object]:
    def route() -> object:
        choice, routing = router(x)
        for name in asked:
            getattr(routing, name)
        weight = choice.weight_NHK
        return torch.autograd.grad(weight, [x, router.weight], torch.ones_like(weight))

    return route


def step_speed(config: RunConfig, seconds: Sequence[float]) -> StepSpeed:
    """Summarise the times of a configuration's steps."""
    median = statistics.median(seconds)
    return StepSpeed(
        ms=1e3 * median,
        ms_quartiles=quartiles_ms(seconds),
        tokens_per_second=config.tokens_per_step / median,
        gflop=_step_gflop(config),
    )


def quartiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """Return first and third quartile of times in milliseconds; equal for a single time."""
    quartiles = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [seconds[0]] * 3
    return 1e3 * quartiles[0], 1e3 * quartiles[2]


def _step_gflop(config: RunConfig) -> float:
    """Return the operations of a step's matmuls, in units of 1e9."""
    model, training = config.model, config.training
    n_micro_batches = training.batch_size // training.micro_batch_size
    attention = n_micro_batches * executed_attention(model, training.micro_batch_size).macs
    others = training.batch_size * executed_feedforward(model).macs
    output = training.batch_size * model.seq_len * model.d_model * config.n_outputs
    return _FLOP_PER_MAC * (model.n_layers * (attention + others) + output) / 1e9


def _step_time(
    name: str,
    config: RunConfig,
    seconds: Sequence[float],
    facts: _Facts,
    base: tuple[float, int],
    peak: float,
) -> StepTime:
    speed = step_speed(config, seconds)
    median, bound = statistics.median(seconds), speed.gflop / peak
    return StepTime(
        **asdict(speed),
        model=name,
        family=config.model.family,
        step_id=step_id(
            config.model, config.vocab_size, config.n_outputs, config.training.batch_size
        ),
        code=code_of(config).digest,
        relative_time=median / base[0],
        saved_floats=facts.saved_floats,
        relative_saved_floats=facts.saved_floats / base[1],
        peak_memory_bytes=facts.peak_memory_bytes,
        bound_ms=1e3 * bound,
        times_bound=median / bound,
        routing_fraction=facts.routing_seconds / median,
        rounds_ms=tuple(1e3 * one for one in seconds),
    )
