"""Errors a user can cause, each with a message that says what to do next."""


class LabError(Exception):
    """Root of every error that is the user's to mend; `lab` prints it and exits with 2."""


class ConfigError(LabError):
    """A configuration value, key or file is unusable."""


class WorkspaceError(LabError):
    """The workspace (lab.toml) is missing, broken or not writable."""


class StorageError(LabError):
    """A disk or database cannot take what has to be written."""


class DataError(LabError):
    """A corpus is missing, empty, unreadable or no longer what was prepared."""


class MatchError(LabError):
    """No model with the asked shape fits the baseline's budget."""


class RecordError(LabError):
    """A run or sweep record is missing, damaged or belongs to another experiment."""


class TrainingError(LabError):
    """A training run ended without a result (for example a non-finite loss)."""
