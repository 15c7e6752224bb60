"""Planted faults: each promise has a test that notices when it is broken."""

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """A fault in one file, and the tests that must fail with it."""

    promise: str
    file: str
    old: str
    new: str
    tests: list[str]


MUTATIONS = [
    Mutation(**entry)
    for entry in tomllib.loads(Path(__file__).with_name("mutations.toml").read_text())["mutation"]
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_the_fault_can_be_planted(mutation: Mutation) -> None:
    """The list stays current: the text is there once, and the tests exist."""
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    for test in mutation.tests:
        assert (ROOT / test).is_file()


def test_promises_are_distinct() -> None:
    promises = [mutation.promise for mutation in MUTATIONS]
    assert len(promises) == len(set(promises))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_the_fault_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    for folder in ("switchhead_lab", "kernels"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "switchhead_kernels").symlink_to(tmp_path / "kernels")
    path = tmp_path / mutation.file
    path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutation.tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{tmp_path / 'path'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    # 1: tests ran and one failed; other codes would mean that nothing was tested.
    assert done.returncode == 1, done.stdout[-2000:]
