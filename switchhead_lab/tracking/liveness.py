"""Whether the process that wrote a status is still there."""

import socket

import psutil

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
        born_at = psutil.Process(status.pid).create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:  # somebody else's process, on systems that hide those
        return False
    # The number now belongs to another process, for example after a restart of the machine.
    return born_at > status.started_at + START_SLACK_SECONDS


def observed_state(status: RunStatus) -> RunState:
    """Return the state of a run, "interrupted" if it says "running" but its process is gone."""
    return "interrupted" if process_is_gone(status) else status.state
