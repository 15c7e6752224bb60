"""The state of the project's own checkout, which no test changes: asked of git once per process."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from switchhead_lab.tracking import provenance
from switchhead_lab.tracking.git_state import SOURCE_PATHS, read_git_state

_OWN = Path(provenance.__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _own_checkout() -> Iterator[None]:
    """Start six processes of git for the first run of a process, not for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "read_git_state", _state)
        yield


def _state(folder: Path, source_paths: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    if (folder, source_paths) != (_OWN, SOURCE_PATHS):
        return read_git_state(folder, source_paths)
    return copy.deepcopy(_of_own())


@cache
def _of_own() -> tuple[dict[str, Any], bytes]:
    return read_git_state(_OWN)
