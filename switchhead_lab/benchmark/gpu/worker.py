"""The process that runs the cases of one part in order."""

import ctypes
import faulthandler
import gc
import importlib
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from switchhead_lab.benchmark.gpu.case import Case, Context, Findings, WrongResultError
from switchhead_lab.benchmark.gpu.checkout import make_kernels_importable
from switchhead_lab.benchmark.gpu.journal import ENDED, Event, Journal, Status
from switchhead_lab.benchmark.gpu.plan import EXIT_DEVICE_LOST, EXIT_NO_DEVICE, Part
from switchhead_lab.errors import ConfigError

_MOST_REASON_CHARACTERS = 500
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_cases(
    part: Part, cases: Sequence[Case], context: Context, journal: Journal, share: int = 0
) -> int:
    """Run this worker's cases that have not ended yet; return an exit code.

    Args:
        part: The part.
        cases: All its cases.
        context: Where they run.
        journal: Events so far; this process adds its own.
        share: Number of this worker among the part's `n_workers`.
    """
    latest = journal.latest(part.name)
    for case in cases:
        if case.name not in latest:
            journal.add(Event(part.name, case.name, "planned"))
    over = {name for name, event in latest.items() if event.status in ENDED}
    for case in cases[share :: part.n_workers]:
        if case.name in over:
            continue
        _run_case(part, case, journal, share)
        if not _device_answers(context.device):
            return EXIT_DEVICE_LOST
    return 0


def work(part: Part, share: int, out: Path, *, is_dry_run: bool) -> int:
    """Be a worker: run a share of a part's cases; return an exit code.

    Args:
        part: The part.
        share: Number of this worker among the part's `n_workers`.
        out: Folder of the journal.
        is_dry_run: Whether to use the CPU and tiny sizes.
    """
    make_kernels_importable()
    from switchhead_lab.benchmark.gpu.case import make_context

    try:
        context = make_context(is_dry_run=is_dry_run)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_NO_DEVICE
    if part.n_workers > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // part.n_workers))
    journal = Journal(out / "journal.jsonl")
    return run_cases(part, cases_of(part, context), context, journal, share)


def cases_of(part: Part, context: Context) -> list[Case]:
    """Import a part's module and list its cases."""
    _die_with_parent()
    # Lets the conductor request the stack of a hanging worker.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    cases: list[Case] = importlib.import_module(part.module).cases(context)
    return cases


def _die_with_parent() -> None:
    """Have Linux kill this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_case(part: Part, case: Case, journal: Journal, share: int) -> None:
    started = time.monotonic()
    findings: Findings = {}

    def record(status: Status, reason: str = "") -> None:
        seconds = round(time.monotonic() - started, 3)
        event = Event(part.name, case.name, status, seconds, reason, findings, share=share)
        journal.add(event)

    record("started")
    try:
        for found in case.run():
            findings |= found
            record("partial")
    except WrongResultError as error:
        record("wrong", str(error))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        record("failed", _reason(error))
    else:
        record("done")
    # Frees tensors that the traceback's frames kept alive.
    gc.collect()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:_MOST_REASON_CHARACTERS]


def _device_answers(device: torch.device) -> bool:
    """Return whether the device still computes.

    An illegal memory access breaks every later call; a failed capture can break random numbers.
    """
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
        square = torch.rand(16, 16, device=device)
        return bool((square @ square).isfinite().all())
    except RuntimeError:
        traceback.print_exc(file=sys.stderr)
        return False
