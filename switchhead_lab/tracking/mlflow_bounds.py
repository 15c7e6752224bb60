"""How long a tracker that fails or hangs may hold up training."""

from dataclasses import dataclass

from switchhead_lab.config.addresses import database_path


@dataclass(frozen=True)
class Bounds:
    """Time spent waiting for attempts that fail, in a sweep or in a run of its own.

    Attributes:
        failing_seconds: What all failed attempts may take together; then nothing more is tried.
        retry_seconds: What the one retry at the end may take.
    """

    failing_seconds: float
    retry_seconds: float


# A hanging server costs a sweep at most 9 s, however many runs it has.
NETWORK_BOUNDS = Bounds(failing_seconds=5.0, retry_seconds=4.0)
# A file answers or fails; but another process may lock it, and making its schema takes seconds.
FILE_BOUNDS = Bounds(failing_seconds=60.0, retry_seconds=60.0)
# For commands that exist to bring MLflow up to date.
PATIENT_BOUNDS = Bounds(failing_seconds=60.0, retry_seconds=0.0)


def bounds_for(tracking_uri: str) -> Bounds:
    """Return the bounds that suit training with a tracking address."""
    return NETWORK_BOUNDS if database_path(tracking_uri) is None else FILE_BOUNDS


class Allowance:
    """What is left of the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._may_retry = True
        self.seconds = bounds.failing_seconds

    def renew(self) -> None:
        """Start anew, for a sweep."""
        self.seconds, self._may_retry = self._bounds.failing_seconds, True

    def grant_retry(self) -> None:
        """Allow one more failure, once."""
        if self._may_retry:
            self.seconds = max(self.seconds, self._bounds.retry_seconds)
            self._may_retry = False

    def spend(self, seconds: float) -> None:
        """Take the duration of a failed attempt off."""
        self.seconds -= seconds
