"""What costs nothing in a process with one command, but much in one with thousands of tests."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from alembic.config import Config
from alembic.script import ScriptDirectory

from switchhead_kernels.bench import peak, runner
from switchhead_lab.benchmark import step
from switchhead_lab.tracking import provenance
from switchhead_lab.tracking.git_state import SOURCE_PATHS, read_git_state

_OWN = Path(provenance.__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _own_checkout() -> Iterator[None]:
    """Ask git about the project's own checkout, which no test changes, for one run only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "read_git_state", _state)
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands() -> Iterator[None]:
    """Build the commands of `lab` from their functions for one invocation only."""
    with pytest.MonkeyPatch.context() as patch:
        command_of = cache(typer.main.get_command)
        patch.setattr(typer.main, "get_command", command_of)
        patch.setattr(typer.testing, "_get_command", command_of)
        yield


@pytest.fixture(scope="session", autouse=True)
def _migrations() -> Iterator[None]:
    """Load the migrations of MLflow's and of Optuna's databases at the first opening only."""
    read = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def read_once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _peaks() -> Iterator[None]:
    """Measure the best matmul of this machine once per type for all benchmarks."""
    measured = cache(peak.matmul_peak)
    with pytest.MonkeyPatch.context() as patch:
        for benchmark in (runner, step):
            patch.setattr(benchmark, "matmul_peak", measured)
        yield


def _state(folder: Path, source_paths: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    if (folder, source_paths) != (_OWN, SOURCE_PATHS):
        return read_git_state(folder, source_paths)
    return copy.deepcopy(_of_own())


@cache
def _of_own() -> tuple[dict[str, Any], bytes]:
    return read_git_state(_OWN)
