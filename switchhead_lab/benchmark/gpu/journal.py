"""The journal of a run: one line for each event, so that whatever stops the run loses nothing."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal[
    "planned", "started", "partial", "done", "wrong", "failed", "crashed", "timeout", "skipped"
]

ENDED: frozenset[str] = frozenset({"done", "wrong", "failed", "crashed", "timeout", "skipped"})
"""A case with one of these is over."""

RUNNING: frozenset[str] = frozenset({"started", "partial"})
"""A case with one of these was being run when its worker last wrote."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a case.

    Attributes:
        part: Name of the part.
        case: Name of the case; empty for the part as a whole.
        status: What happened.
        seconds: Time since the case started.
        reason: Why it did not end well; empty where it did.
        findings: Everything found so far.
        at: Seconds since the epoch.
    """

    part: str
    case: str
    status: Status
    seconds: float = 0.0
    reason: str = ""
    findings: dict[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)


class Journal:
    """A file of events; the command and its workers append to it in turn."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, event: Event) -> None:
        """Append an event so that it outlives this process."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> Iterator[Event]:
        """Yield all events in order; a line that a dying process cut short is left out."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    yield Event(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue

    def latest(self, part: str) -> dict[str, Event]:
        """Return the last event of each case of a part, by case, in their order."""
        latest: dict[str, Event] = {}
        for event in self.events():
            if event.part == part:
                latest[event.case] = event
        return latest
