"""Estimates of a sweep's duration from finished runs (free of torch).

CPU and GPU runs are estimated separately; any measurement of step times can make a `Speed`.
"""

import socket
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.budget.costs import TRAINING_FACTOR, forward_macs_per_token
from switchhead_lab.config.identity import hash_of, identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.tracking.record import RunRecord, RunResult

DeviceKind = Literal["cpu", "gpu"]
DEVICE_KINDS: tuple[DeviceKind, ...] = ("cpu", "gpu")


@dataclass(frozen=True)
class Speed:
    """Measured training speed of one kind of device.

    Attributes:
        step_seconds: Median step time of each trained model, by the hash of what it depends on.
        seconds_per_mac: Median step time per forward MAC, by family of models.
        n_runs: Runs measured.
        devices: Descriptions of the devices, each once.
        is_here: Whether this machine was measured; else others that share the runs folder.
        largest_n_parameters: Size of the largest model measured.
    """

    step_seconds: dict[str, float]
    seconds_per_mac: dict[str, float]
    n_runs: int
    devices: tuple[str, ...]
    is_here: bool
    largest_n_parameters: int


Speeds = Mapping[DeviceKind, Speed]
"""Speeds by kind of device; kinds without finished runs are absent."""


def measured_speeds(runs: Sequence[RunRecord]) -> Speeds:
    """Return the measured speed of each kind of device with finished runs.

    For kinds that this machine has no runs on, runs of other machines on a shared disk count.
    """
    host = socket.gethostname()
    speeds: dict[DeviceKind, Speed] = {}
    for kind in DEVICE_KINDS:
        finished = [
            (run, run.result) for run in runs if run.result and _kind_of(run.result) == kind
        ]
        here = [pair for pair in finished if pair[0].status.host == host]
        if finished:
            speeds[kind] = _measure(here or finished, is_here=bool(here))
    return speeds


def speed_here(speeds: Speeds) -> Speed | None:
    """Return the speed of this machine, of its GPU if it has runs; None without runs here."""
    for kind in reversed(DEVICE_KINDS):
        if kind in speeds and speeds[kind].is_here:
            return speeds[kind]
    return None


def estimated_seconds(config: RunConfig, speed: Speed) -> float:
    """Estimate the training time of a run in seconds, without validation.

    A model trained before takes as long as it did; other models are estimated by MACs and the speed
    of their family, or of the slowest family measured.
    """
    n_steps = config.training.n_steps
    known = speed.step_seconds.get(_step_identity(config))
    if known is not None:
        return n_steps * known
    rates = speed.seconds_per_mac
    rate = rates.get(config.model.family, max(rates.values()))
    return n_steps * step_macs(config) * rate


def step_macs(config: RunConfig) -> float:
    """Return the forward MACs of all tokens of one optimiser step."""
    return config.tokens_per_step * forward_macs_per_token(config.model, config.n_outputs)


def training_macs(config: RunConfig) -> float:
    """Return the MACs of a whole training run, forward and backward."""
    return TRAINING_FACTOR * config.training.n_steps * step_macs(config)


def is_done(config: RunConfig, runs: Sequence[RunRecord], *, has_source: bool = False) -> bool:
    """Return whether a configuration has a result, or was pruned by a search; see `done_run`."""
    return done_run(config, runs, has_source=has_source) is not None


def done_run(
    config: RunConfig, runs: Sequence[RunRecord], *, has_source: bool = False
) -> RunRecord | None:
    """Return the run of a configuration that has a result or was pruned; None if there is none.

    Args:
        config: The configuration, without a checkpoint to start from.
        runs: All runs.
        has_source: Whether it starts from a checkpoint. Which one is not compared, since that is
            unknown until the source has finished.
    """
    run_hash = identity(config)
    return next(
        (
            run
            for run in runs
            if (run.result is not None or run.status.state == "pruned")
            and _hash_without_start(run, has_source) == run_hash
        ),
        None,
    )


def _hash_without_start(run: RunRecord, has_source: bool) -> str | None:
    """Return a run's identity without its start; None if `has_source` does not apply to it."""
    if has_source != (run.config.initial_weights is not None):
        return None
    if not has_source:
        return run.run_hash
    return identity(run.config.model_copy(update={"initial_weights": None}))


def _kind_of(result: RunResult) -> DeviceKind:
    """Return the kind of a device from its description, which starts with PyTorch's device type."""
    return "cpu" if result.device.partition(" ")[0] == "cpu" else "gpu"


def _measure(finished: Sequence[tuple[RunRecord, RunResult]], *, is_here: bool) -> Speed:
    by_model: dict[str, list[float]] = {}
    by_family: dict[str, list[float]] = {}
    for run, result in finished:
        seconds = result.ms_per_step / 1e3
        by_model.setdefault(_step_identity(run.config), []).append(seconds)
        family = run.config.model.family
        by_family.setdefault(family, []).append(seconds / step_macs(run.config))
    return Speed(
        step_seconds=_medians(by_model),
        seconds_per_mac=_medians(by_family),
        n_runs=len(finished),
        devices=tuple(dict.fromkeys(result.device for _, result in finished)),
        is_here=is_here,
        largest_n_parameters=max(result.n_parameters for _, result in finished),
    )


def _step_identity(config: RunConfig) -> str:
    training = config.training
    sizes = [training.batch_size, training.micro_batch_size, training.precision]
    return hash_of(
        [config.model.model_dump(mode="json"), config.vocab_size, config.n_outputs, *sizes]
    )


def _medians(groups: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {key: statistics.median(values) for key, values in groups.items()}
