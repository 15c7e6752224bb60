"""The process that runs the cases of one part, one after the other."""

import ctypes
import faulthandler
import gc
import importlib
import signal
import sys
import time
import traceback
from collections.abc import Sequence

import torch

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings, WrongResultError
from switchhead_lab.benchmark.gpu.journal import ENDED, Event, Journal, Status
from switchhead_lab.benchmark.gpu.plan import EXIT_DEVICE_LOST, Part

_MOST_REASON_CHARACTERS = 500
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_cases(part: Part, cases: Sequence[Case], context: Context, journal: Journal) -> int:
    """Run the cases that have not ended yet; return an exit code.

    Args:
        part: The part.
        cases: Its cases.
        context: Where they run.
        journal: What has happened, this process's own events included from here on.
    """
    latest = journal.latest(part.name)
    for case in cases:
        if case.name not in latest:
            journal.add(Event(part.name, case.name, "planned"))
    over = {name for name, event in latest.items() if event.status in ENDED}
    for case in cases:
        if case.name in over:
            continue
        _run_case(part, case, journal)
        if not _device_answers(context.device):
            return EXIT_DEVICE_LOST
    return 0


def cases_of(part: Part, context: Context) -> list[Case]:
    """Import a part's module and list its cases."""
    _die_with_parent()
    # How a killed process tells where it was.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    cases: list[Case] = importlib.import_module(part.module).cases(context)
    return cases


def _die_with_parent() -> None:
    """Have Linux end this process when the command that started it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_case(part: Part, case: Case, journal: Journal) -> None:
    started = time.monotonic()
    findings: Findings = {}

    def tell(status: Status, reason: str = "") -> None:
        seconds = round(time.monotonic() - started, 3)
        journal.add(Event(part.name, case.name, status, seconds, reason, findings))

    tell("started")
    try:
        for found in case.run():
            findings |= found
            tell("partial")
    except WrongResultError as error:
        tell("wrong", str(error))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        tell("failed", _reason(error))
    else:
        tell("done")
    # The traceback's frames hold tensors until here.
    gc.collect()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:_MOST_REASON_CHARACTERS]


def _device_answers(device: torch.device) -> bool:
    """Tell whether the device still computes.

    After an illegal access it refuses this process; after a failed capture, random numbers may.
    """
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        square = torch.rand(16, 16, device=device)
        return bool((square @ square).isfinite().all())
    except RuntimeError:
        traceback.print_exc(file=sys.stderr)
        return False
