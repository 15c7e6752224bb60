"""Parts of a checkpoint that ranks write side by side, by PyTorch's distributed checkpoints.

Each rank writes the weights and optimiser state that it holds into a safetensors file of its own,
with their place in the whole; nothing is pickled.
"""

import errno
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

PATTERN = "shard-*.safetensors"
"""Names of the files that ranks write."""


def write_parts(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write this rank's parts; call it on all ranks.

    Args:
        folder: Existing folder, which all ranks see.
        state: The same names on all ranks, in the same order.

    Raises:
        OSError: If the disk refuses the write of any rank.
    """
    # Deferred, here and below: slow imports that other checkpoints do without.
    from torch.distributed import checkpoint as distributed

    writer = distributed.HuggingFaceStorageWriter(path=str(folder), save_distributed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            distributed.save(dict(state), storage_writer=writer)
        except distributed.CheckpointException as error:
            # Of all ranks; it is no Exception.
            causes = [cause for cause, _ in error.failures.values()]
            failed = next((cause for cause in causes if isinstance(cause, OSError)), None)
            number = failed.errno if failed and failed.errno else errno.EIO
            raise OSError(number, os.strerror(number), str(folder)) from error


def sync_parts(folder: Path) -> list[Path]:
    """Sync the files that all ranks wrote to disk; return them in order."""
    paths = sorted(folder.glob(PATTERN))
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return paths


def read_parts(folder: Path) -> dict[str, Tensor]:
    """Return the whole tensors that ranks wrote in parts, on the CPU; for a single process.

    Raises:
        OSError: If a file cannot be read.
        Exception: Of many kinds, if a file is not what `write_parts` wrote.
    """
    from torch.distributed import checkpoint as distributed

    reader = distributed.HuggingFaceStorageReader(str(folder))
    described = reader.read_metadata().state_dict_metadata
    tensors = {
        name: torch.empty(tensor.size, dtype=tensor.properties.dtype)
        for name, tensor in described.items()
        if isinstance(tensor, distributed.metadata.TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no process group: that is intended
        reader = distributed.HuggingFaceStorageReader(str(folder))
        distributed.load(tensors, storage_reader=reader, no_dist=True)
    return tensors
