"""How long a sweep will take, judged by runs that finished on this machine (free of torch)."""

import socket
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from switchhead_lab.budget.costs import forward_macs_per_token
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking.record import RunRecord


@dataclass(frozen=True)
class Speed:
    """Measured training speed of this machine.

    Attributes:
        seconds_per_mac: Median over runs of step time per forward MAC, by attention kind.
        n_runs: Runs measured.
    """

    seconds_per_mac: dict[str, float]
    n_runs: int


def measured_speed(runs: Sequence[RunRecord]) -> Speed | None:
    """Return the speed seen in finished runs of this machine; None without any."""
    host = socket.gethostname()
    by_kind: dict[str, list[float]] = {}
    for run in runs:
        if run.result is not None and run.status.host == host:
            rate = run.result.ms_per_step / 1e3 / step_macs(run.config)
            by_kind.setdefault(run.config.model.attention.kind, []).append(rate)
    if not by_kind:
        return None
    medians = {kind: statistics.median(rates) for kind, rates in by_kind.items()}
    return Speed(medians, sum(map(len, by_kind.values())))


def estimated_seconds(config: RunConfig, speed: Speed) -> float:
    """Estimate the training time of a run, validation left out.

    A kind of attention never run here is given the slowest speed seen.
    """
    known = speed.seconds_per_mac
    rate = known.get(config.model.attention.kind, max(known.values()))
    return config.training.n_steps * step_macs(config) * rate


def step_macs(config: RunConfig) -> float:
    """Return the forward MACs of all tokens of one optimiser step."""
    return config.tokens_per_step * forward_macs_per_token(config.model, config.vocab_size)


def is_finished(config: RunConfig, runs: Sequence[RunRecord]) -> bool:
    """Tell whether a configuration has a result."""
    run_hash = identity(config)
    return any(run.run_hash == run_hash and run.result is not None for run in runs)
