"""Time a sweep's models beside other implementations of the same shapes, on the CPU.

All candidates of a model take turns in one process, on the same random tokens and threads.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from switchhead_kernels.bench import Effort, interleave, stopwatch
from switchhead_lab.benchmark.peers.contests import Contest, contest_of
from switchhead_lab.benchmark.step import (
    RandomBatches,
    build_training_model,
    n_warm_up_steps,
    numbered_steps,
    quartiles_ms,
    step_runner_of,
)
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError
from switchhead_lab.model.sequence_plan import plan_sequences
from switchhead_lab.training.compute_setup import ComputeSetup

OURS = "switchhead_lab"
"""Name of the lab among the implementations."""


@dataclass(frozen=True)
class PeerTime:
    """One implementation of a model.

    Attributes:
        model: Name in the sweep.
        unit: What was timed: a training step, or a feed-forward layer forward and backward.
        implementation: The lab or the peer.
        ms: Median time in milliseconds.
        ms_quartiles: First and third quartile.
        ours_over_theirs: Median over the rounds of the lab's time over this one's; below 1, the
            lab is faster.
        n_parameters: Parameters of what was timed.
    """

    model: str
    unit: str
    implementation: str
    ms: float
    ms_quartiles: tuple[float, float]
    ours_over_theirs: float
    n_parameters: int


@dataclass(frozen=True)
class PeerBench:
    """Models beside their peers.

    Attributes:
        n_rounds: Turns of each implementation.
        times: One entry per model and implementation; the lab's is the first of each model.
        remarks: What was not timed, and why.
    """

    n_rounds: int
    times: tuple[PeerTime, ...]
    remarks: tuple[str, ...]


def bench_peers(
    configs: Mapping[str, RunConfig],
    setup: ComputeSetup,
    n_rounds: int,
    progress: Callable[[str], None] = lambda _: None,
) -> PeerBench:
    """Time models beside their peers, interleaved in rounds.

    Args:
        configs: Configurations by name.
        setup: The CPU, and the precision of all implementations.
        n_rounds: Turns of each implementation.
        progress: Called with a line for each model.

    Raises:
        ConfigError: If no model has a peer, or a batch has several micro-batches.
    """
    times: list[PeerTime] = []
    remarks: list[str] = []
    for name, config in configs.items():
        contest = contest_of(config)
        if contest is None:
            remarks.append(f"{name}: no peer; there are some for dense attention and for sigma-MoE")
            continue
        remarks += [f"{name}: {remark}" for remark in contest.remarks]
        if contest.peers:
            progress(f"timing {n_rounds} rounds of {name} and {', '.join(contest.peers)}")
            found, failures = _times(name, config, contest, setup, n_rounds)
            times += found
            remarks += failures
    if not times:
        raise ConfigError("nothing to time: " + "; ".join(remarks))
    return PeerBench(n_rounds, tuple(times), tuple(remarks))


@dataclass(frozen=True)
class _Candidate:
    take: Callable[[], object]
    n_parameters: int


def _times(
    name: str, config: RunConfig, contest: Contest, setup: ComputeSetup, n_rounds: int
) -> tuple[list[PeerTime], list[str]]:
    """Return the times, and a remark for each peer that does not run at these shapes."""
    build = _steps if contest.unit == "training step" else _layers
    candidates, remarks = build(config, contest, setup), []
    for who, candidate in [*candidates.items()]:
        try:
            for _ in range(n_warm_up_steps(config)):
                candidate.take()
        except RuntimeError as error:
            if who == OURS:
                raise
            del candidates[who]
            reason, *_ = str(error).strip().partition("\n")
            remarks.append(f"{name}: {who}: {reason}")
    timed = {who: stopwatch(one.take, setup.device) for who, one in candidates.items()}
    seconds = interleave(timed, Effort.exactly(n_rounds))
    times = [
        PeerTime(
            model=name,
            unit=contest.unit,
            implementation=who,
            ms=1e3 * statistics.median(seconds[who]),
            ms_quartiles=quartiles_ms(seconds[who]),
            ours_over_theirs=statistics.median(
                ours / theirs for ours, theirs in zip(seconds[OURS], seconds[who], strict=True)
            ),
            n_parameters=candidates[who].n_parameters,
        )
        for who in candidates
    ]
    return times, remarks


def _steps(config: RunConfig, contest: Contest, setup: ComputeSetup) -> dict[str, _Candidate]:
    training = config.training
    if training.micro_batch_size != training.batch_size:
        raise ConfigError(
            f"training.micro_batch_size={training.micro_batch_size}: peers take whole batches; use "
            f"--set training.micro_batch_size={training.batch_size}"
        )
    ours = step_runner_of(build_training_model(config), config, setup)
    candidates = {OURS: _Candidate(numbered_steps(ours.step), _n_parameters(ours.model))}
    for who, build in contest.peers.items():
        torch.manual_seed(config.seed)
        model = build().train()
        trainer = PlainTrainer(config, model, setup)
        candidates[who] = _Candidate(numbered_steps(trainer.step), _n_parameters(model))
    return candidates


class PlainTrainer:
    """The usual training step: autocast, backward pass, gradient clipping, fused AdamW.

    Args:
        config: Batch size, vocabulary and optimiser settings.
        model: Returns logits; its parameters are trained.
        setup: Device and precision.
    """

    def __init__(self, config: RunConfig, model: nn.Module, setup: ComputeSetup) -> None:
        training = config.training
        self._config, self._setup = config, setup
        self._model = model.to(setup.device)
        self._batches = RandomBatches(config)
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=training.learning_rate,
            betas=(training.adam_beta1, training.adam_beta2),
            weight_decay=training.weight_decay,
            fused=True,
        )

    def step(self, number: int) -> tuple[float, int]:
        """Take step `number`, from 0; return the summed loss in nats and the number of targets."""
        batch = self._batches.at(number)
        inputs_BT, targets_BT = (
            torch.from_numpy(part).to(self._setup.device)
            for part in (batch.inputs_BT, batch.targets)
        )
        self._optimizer.zero_grad(set_to_none=True)
        with _autocast(self._setup):
            logits_BTV = self._model(inputs_BT)
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), self._config.training.clip_norm)
        self._optimizer.step()
        return float(loss.detach()) * targets_BT.numel(), targets_BT.numel()


def _layers(config: RunConfig, contest: Contest, setup: ComputeSetup) -> dict[str, _Candidate]:
    """Return the feed-forward layer of a model and its peers, each forward and backward."""
    model, B, T = config.model, config.training.batch_size, config.model.seq_len
    generator = torch.Generator().manual_seed(config.seed)
    x_BTD = torch.randn(B, T, model.d_model, generator=generator)
    grad_BTD = torch.randn(B, T, model.d_model, generator=generator)
    block = build_training_model(config).blocks[0]
    ours = block.feedforward
    assert isinstance(ours, nn.Module)
    plan = plan_sequences(model, T, T, dtype=x_BTD.dtype, device=x_BTD.device)
    layers = {OURS: (ours, lambda x: ours(x, plan).output_BTD)}
    for who, build in contest.peers.items():
        peer = build().train()
        layers[who] = (peer, peer)
    return {
        who: _Candidate(_layer_call(layer, call, x_BTD, grad_BTD, setup), _n_parameters(layer))
        for who, (layer, call) in layers.items()
    }


def _layer_call(
    layer: nn.Module,
    call: Callable[[Tensor], Tensor],
    x_BTD: Tensor,
    grad_BTD: Tensor,
    setup: ComputeSetup,
) -> Callable[[], object]:
    layer.to(setup.device)
    x_BTD, grad_BTD = (tensor.to(setup.device) for tensor in (x_BTD, grad_BTD))

    def take() -> object:
        given = x_BTD.clone().requires_grad_()
        with _autocast(setup):
            output = call(given)
        return torch.autograd.grad(
            output, [given, *layer.parameters()], grad_BTD.to(output.dtype), allow_unused=True
        )

    return take


def _autocast(setup: ComputeSetup) -> torch.autocast:
    return torch.autocast(setup.device.type, torch.bfloat16, enabled=setup.precision == "bf16")


def _n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
