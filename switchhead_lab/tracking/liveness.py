"""Whether the process that wrote a status is still there."""

import os
import socket
from pathlib import Path

from switchhead_lab.tracking.record import RunState, RunStatus

# A process is made before it writes its start into a status; clocks are rounded to 0.01 s.
START_SLACK_SECONDS = 2.0


def process_is_gone(status: RunStatus) -> bool:
    """Say whether a run calls itself running though its process has ended.

    Only a process of this machine can be looked for; for others the answer is no.
    """
    if status.state != "running" or status.host != socket.gethostname():
        return False
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process
        pass
    born_at = _born_at(status.pid)
    # The number now belongs to another process, for example after a restart of the machine.
    return born_at is not None and born_at > status.started_at + START_SLACK_SECONDS


def observed_state(status: RunStatus) -> RunState:
    """Return the state of a run, "interrupted" if it says "running" but its process is gone."""
    return "interrupted" if process_is_gone(status) else status.state


def _born_at(pid: int) -> float | None:
    """Return when a process started, seconds since 1970; None where /proc does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        kernel = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
        boot = next(float(line.split()[1]) for line in kernel if line.startswith("btime "))
        # The command name, in brackets, may hold spaces; start time is field 22 of proc(5).
        ticks = float(stat.rpartition(")")[2].split()[19])
        return boot + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
