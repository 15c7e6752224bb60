"""Writing checkpoints in the background of training."""

import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from switchhead_lab.errors import LabError
from switchhead_lab.training.checkpoint import WriteParts, save_checkpoint, snapshot
from switchhead_lab.training.checkpoint_manifest import Progress


class CheckpointWriter:
    """Writes a run's checkpoints in a background thread, one at a time.

    As a context manager, it waits at exit until the last checkpoint is on disk, and raises the
    error if it could not be written.

    Args:
        directory: The run's checkpoint folder.
        run_hash: Identity of the run's configuration.
    """

    def __init__(self, directory: Path, run_hash: str) -> None:
        self._directory, self._run_hash = directory, run_hash
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[Path] | None = None

    def save(
        self,
        progress: Progress,
        tensors: Mapping[str, Tensor],
        write_parts: WriteParts | None = None,
    ) -> None:
        """Wait for the previous checkpoint, copy the tensors and start writing them.

        Parts are written before it returns: training would change them.

        Raises:
            TrainingError: If a value is not finite; nothing is written.
            StorageError: If the previous checkpoint could not be written.
        """
        self.wait()
        copies = snapshot(progress.step, tensors)
        arguments = (self._directory, progress, copies, self._run_hash)
        if write_parts is not None:
            save_checkpoint(*arguments, write_parts)
        else:
            self._pending = self._executor.submit(save_checkpoint, *arguments)

    @property
    def is_idle(self) -> bool:
        """Whether the last checkpoint is on disk, or could not be written."""
        return self._pending is None or self._pending.done()

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            StorageError: If it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.wait()
        except LabError as failure:
            if error is None:
                raise
            # The caller needs the error that ended training.
            sys.stderr.write(f"warning: checkpoint not written: {failure}\n")
        finally:
            self._executor.shutdown()
