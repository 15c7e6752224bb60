"""Settings of the clusters that `lab sweep --on` starts workers on: Slurm and Ray."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from switchhead_lab.frozen_model import FrozenModel

# Slurm's own formats: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM and D-HH:MM:SS.
_TIME = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,6})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
# Options of sbatch that follow from a field, and those on which requeueing depends.
_OWN_FIELDS = {
    "partition": "partition",
    "account": "account",
    "time": "time",
    "cpus-per-task": "cpus_per_worker",
    "gpus-per-node": "gpus_per_worker",
    "signal": "warning_seconds",
}
_FIXED = {"array", "error", "job-name", "nodes", "no-requeue", "open-mode", "output", "requeue"}
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")]


class SlurmSettings(FrozenModel):
    """The table [slurm] of lab.toml: how `--on slurm` submits workers, one job each."""

    partition: Line = ""
    """Partition; Slurm's default if empty."""
    account: Line = ""
    """Account to charge; the user's default if empty."""
    time: Line = "24:00:00"
    """Time limit of a job as sbatch takes it, e.g. "04:00:00"; jobs are requeued before it."""
    cpus_per_worker: int = Field(default=1, ge=1, le=1024)
    """CPUs, and threads, of a worker."""
    gpus_per_worker: int = Field(default=0, ge=0, le=1)
    """GPUs of a worker."""
    warning_seconds: int = Field(default=300, ge=10, le=65_535)
    """Time before the limit at which a worker saves a checkpoint and its job is requeued, s."""
    setup: list[Line] = []
    """Shell lines that each job runs before its worker, e.g. "module load cuda"."""
    options: dict[str, Line | int | bool] = {}
    """Further options of sbatch, without dashes: constraint = "a100", mem = "16G"."""

    @field_validator("time")
    @classmethod
    def _time_is_valid(cls, time: str) -> str:
        if not _TIME.fullmatch(time) or time_seconds(time) == 0:
            raise ValueError(
                f'"{time}" is no time limit of Slurm; use MINUTES, HH:MM:SS or DAYS-HH:MM:SS'
            )
        return time

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in options:
            if name in _OWN_FIELDS:
                raise ValueError(f'"{name}" has a field of its own; set {_OWN_FIELDS[name]}')
            if name in _FIXED:
                raise ValueError(f'"{name}" is set by the lab; leave it out')
            if not _OPTION.fullmatch(name):
                raise ValueError(f'"{name}" is no option of sbatch; write it as in --mem-per-cpu')
        return options

    @model_validator(mode="after")
    def _warning_precedes_the_limit(self) -> Self:
        seconds = time_seconds(self.time)
        if self.warning_seconds >= seconds:
            raise ValueError(
                f"warning_seconds = {self.warning_seconds} is not below the time limit "
                f'time = "{self.time}" ({seconds} s); lower it or raise the limit'
            )
        return self

    @property
    def minutes(self) -> int:
        """The time limit, min, rounded up as Slurm does."""
        return -(-time_seconds(self.time) // 60)


class RaySettings(FrozenModel):
    """The table [ray] of lab.toml: how `--on ray` starts workers, one task each."""

    address: Annotated[str, Field(pattern=r"^(auto|[^\s/:]+:\d+)$")] = "auto"
    """Address of the cluster's head, HOST:PORT; "auto" for the cluster of this machine."""
    cpus_per_worker: int = Field(default=1, ge=1, le=1024)
    """CPUs, and threads, of a worker."""
    gpus_per_worker: float = Field(default=0.0, ge=0.0, le=1.0)
    """GPUs of a worker; 0.5 lets two workers share one, with half of its memory each."""
    resources: dict[str, float] = {}
    """Further resources of a worker, as declared by `ray start --resources`."""


def time_seconds(time: str) -> int:
    """Return a time limit in Slurm's notation, s."""
    match = _TIME.fullmatch(time)
    assert match is not None, "validated"
    days, *parts = match.groups()
    first, second, third = (int(part or 0) for part in parts)
    if days is not None:
        return ((int(days) * 24 + first) * 60 + second) * 60 + third
    if match[4] is not None:
        return (first * 60 + second) * 60 + third
    return first * 60 + second  # minutes and seconds
