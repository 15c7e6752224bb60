"""Further workers on this machine, each with its share of the CPU's cores or of the GPUs."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.sweeping.jobs import Say
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.training.change_policy import ChangePolicy

THREADS, DEVICES = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
GPU_SHARE = "SWITCHHEAD_LAB_GPU_SHARE"
"""Fraction of a GPU's memory that a worker may use, for workers that share one."""
_END_SECONDS = 600.0


@dataclass(frozen=True)
class Share:
    """A worker's share of this machine.

    Attributes:
        n_threads: Threads of its CPU work.
        device: The GPU that it sees, as in CUDA_VISIBLE_DEVICES; empty without GPUs.
        gpu_share: Fraction of that GPU's memory.
    """

    n_threads: int
    device: str = ""
    gpu_share: float = 1.0

    def environment(self) -> dict[str, str]:
        """Return the environment variables that set it."""
        found = {THREADS: str(self.n_threads)}
        if self.device:
            found[DEVICES] = self.device
        if self.gpu_share < 1.0:
            found[GPU_SHARE] = str(self.gpu_share)
        return found


def deal_shares(
    n_workers: int, n_cores: int, devices: Sequence[str], environment: Mapping[str, str]
) -> list[Share]:
    """Divide a machine among workers.

    Args:
        n_workers: Number of workers.
        n_cores: Cores that the process may use.
        devices: Its GPUs, as in CUDA_VISIBLE_DEVICES; none to train on the CPU.
        environment: The user's environment, whose number of threads is kept.
    """
    n_threads = max(1, n_cores // n_workers)
    chosen = environment.get(THREADS, "")
    if chosen.isdecimal() and int(chosen) > 0:
        n_threads = int(chosen)
    if not devices:
        return [Share(n_threads) for _ in range(n_workers)]
    dealt = [devices[number % len(devices)] for number in range(n_workers)]
    return [Share(n_threads, device, 1 / dealt.count(device)) for device in dealt]


def shares_of_this_machine(n_workers: int, device: str) -> list[Share]:
    """Divide this machine among workers that train on a device ("auto", "cpu", "cuda", "mps")."""
    import torch

    devices: list[str] = []
    if device in ("auto", "cuda"):
        # Counts without opening a GPU, so that this process can still choose its own.
        devices = [str(number) for number in range(torch.cuda.device_count())]
        if devices and (visible := os.environ.get(DEVICES)):
            devices = visible.split(",")
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return deal_shares(n_workers, n_cores or 1, devices, os.environ)


def take_share(share: Share) -> None:
    """Apply a share to this process, before it uses a GPU."""
    import torch

    os.environ.update(share.environment())
    torch.set_num_threads(share.n_threads)
    limit_gpu_memory()


def limit_gpu_memory() -> None:
    """Apply the environment's limit on GPU memory, if it has one."""
    share = os.environ.get(GPU_SHARE)
    if share is not None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(float(share))


@contextlib.contextmanager
def beside(command: Sequence[str], shares: Sequence[Share], say: Say) -> Iterator[None]:
    """Run workers beside this process in the block, and wait for their end after it.

    Their lines are printed with the worker's number, from 2: this process is the first. A worker
    that fails is reported, and the others do its work. If an exception ends the block, such as a
    signal, the workers are asked to save a checkpoint and end.

    Args:
        command: Command line of a worker.
        shares: One share per worker.
        say: Called with each line.
    """
    workers: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []
    try:
        for number, share in enumerate(shares, start=2):
            worker = subprocess.Popen(
                command,
                env={**os.environ, **share.environment()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Its own process group: Ctrl-C reaches it once, through this process.
                start_new_session=True,
            )
            workers.append(worker)
            reader = threading.Thread(target=_relay, args=(worker, number, say), daemon=True)
            reader.start()
            readers.append(reader)
        yield
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            # Asked by `lab sweep stop`, each ends by itself; a second signal would cut it short.
            if worker.poll() is None and not interruption.explanation:
                worker.send_signal(signal.SIGTERM)
        for worker, reader in zip(workers, readers, strict=True):
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(_END_SECONDS)
            reader.join(timeout=1.0)


def worker_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line of a further worker, from its arguments of `lab`."""
    return [sys.executable, "-m", "switchhead_lab", *arguments]


def worker_arguments(
    sweep: str, size: str, overrides: Sequence[str], device: str, policy: ChangePolicy
) -> list[str]:
    """Return the arguments of `lab` for a further worker of a sweep.

    Args:
        sweep: Name of the sweep or path to its file.
        size: Its size; empty for the default, or for each size of a ladder in turn.
        overrides: Values of `--set`.
        device: Value of `--device`; may be empty.
        policy: That of the first worker, which retrains what it asks for before others join.
    """
    options = ["--size", size] if size else []
    options += [word for value in overrides for word in ("--set", value)]
    if device:
        options += ["--device", device]
    if policy.allows_drift:
        options.append("--allow-drift")
    if policy.reuses:
        options.append("--reuse")
    return ["worker", sweep, *options]


def _relay(worker: "subprocess.Popen[str]", number: int, say: Say) -> None:
    """Print a worker's lines, and how it ended if it failed."""
    assert worker.stdout is not None, "its output is a pipe"
    with worker.stdout:
        for line in worker.stdout:
            say(f"[{number}] {line.rstrip()}")
    if code := worker.wait():
        say(f"[{number}] ended with exit code {code}")
