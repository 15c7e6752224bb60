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
PACKAGES = ("switchhead_lab", "kernels")
# A fault may make a test wait forever.
_MOST_SECONDS = 900


@dataclass(frozen=True)
class Mutation:
    """A fault in one file, and the tests that must fail with it.

    Attributes:
        promise: What no longer holds.
        file: The file, from the root of the project.
        old: Text that occurs once in it.
        new: Text that replaces it.
        tests: Test files, or single tests as `FILE::TEST`.
    """

    promise: str
    file: str
    old: str
    new: str
    tests: list[str]


MUTATIONS = [
    Mutation(**entry)
    for entry in tomllib.loads(Path(__file__).with_name("mutations.toml").read_text())["mutation"]
]


def id_of(mutation: Mutation) -> str:
    """Return the promise with hyphens: `-k` takes no spaces."""
    return mutation.promise.replace(" ", "-")


def copy_of_the_code(folder: Path) -> Path:
    """Copy the packages that faults are planted in, and link what lies beside them."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    for beside in ROOT.iterdir():
        if beside.name not in PACKAGES and not beside.name.startswith("."):
            (folder / beside.name).symlink_to(beside)
    (folder / "path").mkdir()
    (folder / "path" / "switchhead_kernels").symlink_to(folder / "kernels")
    return folder


def run_tests(code: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of this checkout with the code in another folder, up to the first failure."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{code}{os.pathsep}{code / 'path'}",
        # Otherwise `python -m` imports from the current folder first: the code without the fault.
        "PYTHONSAFEPATH": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_MOST_SECONDS,
    )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=id_of)
def test_the_fault_can_be_planted(mutation: Mutation) -> None:
    """The list stays current: the text is there once, and the tests exist."""
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in text


def test_promises_are_distinct() -> None:
    promises = [mutation.promise for mutation in MUTATIONS]
    assert len(promises) == len(set(promises))


def test_the_copy_is_what_tests_import(tmp_path: Path) -> None:
    """Otherwise a fault in the copy would never be executed."""
    code = copy_of_the_code(tmp_path / "code")
    for package in PACKAGES:
        (code / package / "__init__.py").write_text('raise RuntimeError("the copy")\n')
    for module in ("switchhead_lab", "switchhead_kernels"):
        probe = tmp_path / "test_probe.py"
        probe.write_text(f"def test_probe():\n    import {module}\n", encoding="utf-8")
        assert "the copy" in run_tests(code, [str(probe)]).stdout


@pytest.mark.slow
def test_the_named_tests_pass_without_a_fault(tmp_path: Path) -> None:
    """Otherwise a test that fails anyway would seem to notice the fault."""
    tests = sorted({test for mutation in MUTATIONS for test in mutation.tests})
    whole = {test for test in tests if "::" not in test}
    single = [test for test in tests if test.partition("::")[0] not in whole]
    done = run_tests(copy_of_the_code(tmp_path / "code"), [*whole, *single])
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=id_of)
def test_the_fault_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    code = copy_of_the_code(tmp_path / "code")
    path = code / mutation.file
    path.write_text(
        path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8"
    )
    done = run_tests(code, mutation.tests)
    # 1: tests ran and one failed; other codes would mean that nothing was tested.
    assert done.returncode == 1, done.stdout[-2000:]
