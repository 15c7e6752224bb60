"""Limits on how long a failing or hanging tracker may delay training."""

from dataclasses import dataclass

from switchhead_lab.config.addresses import database_path


@dataclass(frozen=True)
class Bounds:
    """Time limits on failed attempts during a sweep or a standalone run.

    Attributes:
        failing_seconds: Total time of failed attempts, after which no further ones are made.
        retry_seconds: Time of the single retry at the end.
    """

    failing_seconds: float
    retry_seconds: float


# A hanging server costs a sweep at most 9 s, however many runs it has.
NETWORK_BOUNDS = Bounds(failing_seconds=5.0, retry_seconds=4.0)
# Generous: another process may hold a file's lock, and creating its schema takes seconds.
FILE_BOUNDS = Bounds(failing_seconds=60.0, retry_seconds=60.0)
# For commands whose purpose is to update MLflow.
PATIENT_BOUNDS = Bounds(failing_seconds=60.0, retry_seconds=0.0)


def bounds_for(tracking_uri: str) -> Bounds:
    """Return the default bounds for training with a tracking address."""
    return NETWORK_BOUNDS if database_path(tracking_uri) is None else FILE_BOUNDS


class Allowance:
    """The remaining time for failed attempts."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._may_retry = True
        self.seconds = bounds.failing_seconds

    def renew(self) -> None:
        """Reset to the full bounds, for a new sweep."""
        self.seconds, self._may_retry = self._bounds.failing_seconds, True

    def grant_retry(self) -> None:
        """Allow `retry_seconds` more, once."""
        if self._may_retry:
            self.seconds = max(self.seconds, self._bounds.retry_seconds)
            self._may_retry = False

    def spend(self, seconds: float) -> None:
        """Subtract the duration of a failed attempt."""
        self.seconds -= seconds
