"""The outcome of checks of records."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.errors import LabError, reason_of

# What values of unexpected types raise: foreign JSON may hold anything.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Failure:
    """A check that failed.

    Attributes:
        subject: Name of the run, sweep or export.
        path: File or folder concerned.
        fault: What is wrong.
        remedy: What to do.
    """

    subject: str
    path: str
    fault: str
    remedy: str


@dataclass
class CheckList:
    """Checks of one run, sweep or export.

    Attributes:
        subject: Its name.
        n_checks: Checks made.
        failures: Those that failed.
        unchecked: What could not be checked, and why.
    """

    subject: str
    n_checks: int = 0
    failures: list[Failure] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def require(self, is_fine: bool, path: Path, fault: str, remedy: str) -> None:
        """Count a check, and note its failure."""
        self.n_checks += 1
        if not is_fine:
            self.failures.append(Failure(self.subject, str(path), fault, remedy))

    @contextmanager
    def reading(self, path: Path, remedy: str) -> Iterator[None]:
        """Count the block as a check that fails if it raises an error."""
        self.n_checks += 1
        try:
            yield
        except LabError as error:
            fault = " ".join(str(error).split()).removeprefix(f"{path}: ")
            self.failures.append(Failure(self.subject, str(path), fault, remedy))
        except _MALFORMED as error:
            fault = f"not as the lab writes it: {type(error).__name__}: {reason_of(error)}"
            self.failures.append(Failure(self.subject, str(path), fault, remedy))
