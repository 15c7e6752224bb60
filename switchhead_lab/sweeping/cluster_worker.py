"""`lab worker` in a process that a cluster started."""

import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.tracking.interruption import interruption


@dataclass(frozen=True)
class ClusterWorker:
    """A worker to run on another machine, in the environment of the submission.

    Attributes:
        arguments: Arguments of `lab`.
        folder: Current folder of the command, on a disk that the machines share.
        environment: Environment variables to set.
    """

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> int:
        """Run `lab` in this process, which gets its signals directly; return its exit code.

        Call it in the main thread, before PyTorch is imported: it reads the number of threads then.
        """
        os.environ.update(self.environment)
        os.chdir(self.folder)
        interruption.ignores_repeats = True
        before, sys.argv = sys.argv, ["lab", *self.arguments]
        try:
            runpy.run_module("switchhead_lab", run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.argv = before
        return 0
