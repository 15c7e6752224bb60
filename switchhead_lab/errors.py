"""Errors a user can cause, each with a message that says what to do next."""

from typing import Literal

FailureCause = Literal["", "non-finite", "out of memory", "other"]
"""Kind of a failure; empty where there is none."""


class LabError(Exception):
    """Root of every error that is the user's to mend; `lab` prints it and exits with 2."""


class ConfigError(LabError):
    """A configuration value, key or file is unusable."""


class UnpricedError(ConfigError):
    """An accounting convention does not price a variant."""


class ContractError(LabError):
    """A variant does not do what every variant promises."""


class WorkspaceError(LabError):
    """The workspace (lab.toml) is missing, broken or not writable."""


class DataError(LabError):
    """A corpus is missing, empty, unreadable or no longer what was prepared."""


class MatchError(LabError):
    """No model with the asked shape fits the baseline's budget."""


class RecordError(LabError):
    """A run or sweep record is missing, damaged or belongs to another experiment."""


class RunBusyError(RecordError):
    """Another process is training the run."""


class DriftError(RecordError):
    """A run would be resumed under different code, versions, threads or kernels."""


class StorageError(LabError):
    """A disk or database cannot take what has to be written; work goes on when it can."""


class TrainingError(LabError):
    """A training run ended without a result (for example a non-finite loss).

    Attributes:
        cause: Kind of the failure.
    """

    def __init__(self, message: str, cause: FailureCause = "other") -> None:
        super().__init__(message)
        self.cause = cause


def reason_of(error: BaseException) -> str:
    """Return why an operation failed, in one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split()).rstrip(".")
