"""The journal of a run: one line per event, so that an interrupted run loses nothing."""

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

Status = Literal[
    "planned", "started", "partial", "done", "wrong", "failed", "crashed", "timeout", "skipped"
]

ENDED: frozenset[str] = frozenset({"done", "wrong", "failed", "crashed", "timeout", "skipped"})
"""Statuses of a case that has ended."""

RUNNING: frozenset[str] = frozenset({"started", "partial"})
"""Statuses of a case that its worker is running, or was when it died."""


@dataclass(frozen=True)
class Event:
    """A change in the status of a case.

    Attributes:
        part: Name of the part.
        case: Name of the case; empty for the part as a whole.
        status: What happened.
        seconds: Time since the case started.
        reason: Why the case failed or was skipped; empty otherwise.
        findings: Everything found so far.
        at: Seconds since the epoch.
        share: Number of the worker among those that share the part's cases.
    """

    part: str
    case: str
    status: Status
    seconds: float = 0.0
    reason: str = ""
    findings: dict[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)
    share: int = 0


class Journal:
    """A file of events; the command and its workers append to it in turn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._n_bytes_read = 0
        self._latest: dict[str, dict[str, Event]] = {}
        self._lock = threading.Lock()

    def add(self, event: Event) -> None:
        """Append an event so that it outlives this process."""
        line = json.dumps(asdict(event)).encode() + b"\n"
        with self.path.open("a+b") as file:
            if not _ends_a_line(file):
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def latest(self, part: str) -> dict[str, Event]:
        """Return the last event of each case of a part, by case, in their order."""
        with self._lock:
            self._read_new()
            return dict(self._latest.get(part, {}))

    def _read_new(self) -> None:
        """Read the lines added since the last call, skipping any that a dying process cut short."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._n_bytes_read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._n_bytes_read += len(line)
                try:
                    event = Event(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                cases = self._latest.setdefault(event.part, {})
                # Every worker plans all cases, so that they are in order; one may have begun.
                if event.status != "planned" or event.case not in cases:
                    cases[event.case] = event


def _ends_a_line(file: BinaryIO) -> bool:
    """Return whether the file is empty or its last line is complete."""
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
