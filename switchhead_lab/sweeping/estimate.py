"""How long a sweep will take, judged by runs that finished on this machine (free of torch)."""

import socket
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.budget.costs import forward_macs_per_token
from switchhead_lab.config.identity import hash_of, identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking.record import RunRecord


@dataclass(frozen=True)
class Speed:
    """Measured training speed of this machine.

    Attributes:
        step_seconds: Median step time of each model that was trained, by the hash of what sets it.
        seconds_per_mac: Median step time per forward MAC, by attention kind.
        n_runs: Runs measured.
    """

    step_seconds: dict[str, float]
    seconds_per_mac: dict[str, float]
    n_runs: int


def measured_speed(runs: Sequence[RunRecord]) -> Speed | None:
    """Return the speed seen in finished runs of this machine; None without any."""
    host = socket.gethostname()
    by_model: dict[str, list[float]] = {}
    by_kind: dict[str, list[float]] = {}
    n_runs = 0
    for run in runs:
        if run.result is None or run.status.host != host:
            continue
        n_runs += 1
        seconds = run.result.ms_per_step / 1e3
        by_model.setdefault(_step_identity(run.config), []).append(seconds)
        kind = run.config.model.attention.kind
        by_kind.setdefault(kind, []).append(seconds / step_macs(run.config))
    if not n_runs:
        return None
    return Speed(_medians(by_model), _medians(by_kind), n_runs)


def estimated_seconds(config: RunConfig, speed: Speed) -> float:
    """Estimate the training time of a run, validation left out.

    A model trained here before takes as long as it did; another one goes by its MACs and the speed
    of its kind of attention, or by the slowest kind seen.
    """
    n_steps = config.training.n_steps
    known = speed.step_seconds.get(_step_identity(config))
    if known is not None:
        return n_steps * known
    rates = speed.seconds_per_mac
    rate = rates.get(config.model.attention.kind, max(rates.values()))
    return n_steps * step_macs(config) * rate


def step_macs(config: RunConfig) -> float:
    """Return the forward MACs of all tokens of one optimiser step."""
    return config.tokens_per_step * forward_macs_per_token(config.model, config.n_outputs)


def training_macs(config: RunConfig) -> float:
    """Return the MACs of a whole training: a backward pass costs twice a forward one."""
    return 3.0 * config.training.n_steps * step_macs(config)


def is_done(config: RunConfig, runs: Sequence[RunRecord]) -> bool:
    """Tell whether a configuration has a result, or was pruned by a search."""
    run_hash = identity(config)
    return any(
        run.run_hash == run_hash and (run.result is not None or run.status.state == "pruned")
        for run in runs
    )


def _step_identity(config: RunConfig) -> str:
    training = config.training
    sizes = [training.batch_size, training.micro_batch_size, training.precision]
    return hash_of(
        [config.model.model_dump(mode="json"), config.vocab_size, config.n_outputs, *sizes]
    )


def _medians(groups: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {key: statistics.median(values) for key, values in groups.items()}
