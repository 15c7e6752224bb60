"""Runs set aside for retraining: complete, but no longer part of any comparison.

runs/superseded/<name>-<n>/   an earlier directory of the run <name>, n from 1
"""

import itertools
from pathlib import Path

from switchhead_lab.tracking.atomic import make_directory, reported, sync_directory

_FOLDER = "superseded"


def set_aside(directory: Path) -> Path:
    """Move a run's directory to the superseded runs; the caller holds the run's lock.

    Returns:
        Its new path.

    Raises:
        StorageError: If the disk refuses the move; nothing has changed.
    """
    folder = make_directory(directory.parent / _FOLDER)
    places = (folder / f"{directory.name}-{number}" for number in itertools.count(1))
    place = next(path for path in places if not path.exists())
    with reported(directory):
        directory.rename(place)
        sync_directory(folder)
        sync_directory(directory.parent)
    return place
