"""Errors a user can cause, each with a message that says what to do next."""

from typing import Literal

FailureCause = Literal["", "non-finite", "out of memory", "worker vanished", "other"]
"""Kind of failure; empty if there is none."""


class LabError(Exception):
    """Base class of errors the user can fix; `lab` prints them and exits with 2."""


class ConfigError(LabError):
    """A configuration value, key or file is unusable."""


class UndefinedCostError(ConfigError):
    """An accounting convention has no formula for a variant."""


class ContractError(LabError):
    """A variant breaks the contract of variants."""


class WorkspaceError(LabError):
    """The workspace (lab.toml) is missing, broken or not writable."""


class DataError(LabError):
    """A corpus is missing, empty, unreadable or changed since it was prepared."""


class MatchError(LabError):
    """No model of the requested shape fits the baseline's budget."""


class RecordError(LabError):
    """A run or sweep record is missing, damaged or belongs to another experiment."""


class RunBusyError(RecordError):
    """Another process is training the run."""


class DriftError(RecordError):
    """Resuming would change the code, package versions, threads or kernels of a run."""


class CodeChangedError(RecordError):
    """Other code than the present one computed a finished run."""


class StorageError(LabError):
    """A disk or database cannot be written for now; work can resume once it can."""


class DatabaseDownError(StorageError):
    """The database does not answer; the step in progress was not recorded and can be repeated."""


class RankLostError(LabError):
    """One of the processes that train a model together is lost; the same command continues."""


class ClusterError(LabError):
    """A cluster, or the package to reach it, is missing, or it refuses work."""


class TrainingError(LabError):
    """A training run ended without a result (for example a non-finite loss).

    Attributes:
        cause: Kind of failure.
    """

    def __init__(self, message: str, cause: FailureCause = "other") -> None:
        super().__init__(message)
        self.cause = cause


def reason_of(error: BaseException) -> str:
    """Return why an operation failed, in one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split()).rstrip(".")
