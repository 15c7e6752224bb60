"""Processes that start at once: copies of one process with everything imported.

That process is started by the first test that asks for one, and has the environment of that test.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("switchhead_lab.cli.app", "switchhead_lab.cli.sweep", "switchhead_lab.sweeping.executor"),
        *("switchhead_lab.benchmark.workers", "switchhead_lab.training.run"),
        *("torch._dynamo", "torch.distributed.fsdp"),
    ]
)


class LabProcess:
    """The command `lab` in a process of its own, with the methods of `subprocess.Popen` in use.

    Args:
        arguments: Command and options.
        cwd: Folder to run it in.
        environment: All environment variables.
    """

    def __init__(self, *arguments: str, cwd: Path, environment: dict[str, str]) -> None:
        self._folder = Path(mkdtemp())
        self._outputs = [self._folder / "stdout", self._folder / "stderr"]
        self._texts: tuple[str, str] | None = None
        self._process = CONTEXT.Process(
            target=_run, args=(arguments, cwd, environment, self._outputs)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end and return stdout and stderr."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("lab", timeout or 0.0)
        if self._texts is None:
            stdout, stderr = (path.read_text(encoding="utf-8") for path in self._outputs)
            self._texts = stdout, stderr
            shutil.rmtree(self._folder)
        return self._texts


def _run(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], outputs: list[Path]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    sys.stdout.reconfigure(line_buffering=True)
    sys.stderr.reconfigure(line_buffering=True)
    sys.argv = ["lab", *arguments]
    from switchhead_lab.__main__ import main

    main()
