"""`make setup` without a network: a stand-in for Python and pip records what is installed."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Replaces `python3`: makes environments with the pip below.
PYTHON = """#!/bin/sh
if [ "$1" != -m ]; then exit 0; fi
mkdir -p "$3/bin" && cp pip "$3/bin/pip"
"""
# Writes its arguments to a file, and fails if there is a file named "broken".
PIP = """#!/bin/sh
echo Collecting
echo "$*" >> installed
[ ! -e broken ]
"""

# Runs code in an interpreter that takes itself for another version.
OF_VERSION = """#!/bin/sh
exec {python} -c 'import sys; sys.version_info = {version}; exec(sys.argv[1])' "$2"
"""
# Commands of each target, in order.
COMMANDS = {
    "demo": ["lab sweep matched-params --size demo", "lab report matched-params --size demo"],
    "test": ["python -m pytest -n auto"],
    "check": ["ruff check .", "ruff format --check .", "bin/mypy", "python -m pytest -n auto"],
    "drill": ["pytest -m 'drill or slow' tests/drills tests/integration tests/tracking"],
    "mutants": ["pytest -m slow tests/mutations"],
    "docs": ["bin/mkdocs build --strict"],
    "study": ["tar -C reports/pocket -xJf", "lab report table", "lab report\n"],
    "study-archive": ["tar -C reports/pocket --sort=name"],
    "gpu": ["-m switchhead_lab.benchmark.gpu"],
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name, text in (("python", PYTHON), ("pip", PIP)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make(clone: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # Not the variables of a `make` that runs these tests.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAKE") and name not in ("SIZE", "TESTS")
    }
    command = ["make", "--no-print-directory", *arguments, f"PYTHON={clone}/python", "VENV=.venv"]
    return subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def test_setup_installs_once_and_shows_each_part(clone: Path) -> None:
    done = make(clone, "setup")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    parts = [number for number, line in enumerate(lines) if line.startswith("[")]
    assert [lines[number][:5] for number in parts] == ["[1/3]", "[2/3]", "[3/3]"]
    # What pip prints is shown, after the line that announces it.
    pips = [number for number, line in enumerate(lines) if line == "Collecting"]
    assert parts[1] < pips[0] < parts[2] < pips[1]
    assert lines[-1].startswith(".venv is ready. Next: 'make demo'")
    commands = (clone / "installed").read_text(encoding="utf-8").splitlines()
    assert [command.split()[-1] for command in commands] == ["torch", ".[dev]"]
    for command in commands:
        assert "-c constraints.txt" in command
        assert "--quiet" not in command
    assert (clone / ".venv/.installed").is_file()
    assert make(clone, "setup").stdout.splitlines() == lines[-1:]
    assert len((clone / "installed").read_text(encoding="utf-8").splitlines()) == 2


def test_an_interrupted_setup_is_repeated(clone: Path) -> None:
    (clone / "broken").touch()
    assert make(clone, "setup").returncode != 0
    assert not (clone / ".venv/.installed").exists()
    (clone / "broken").unlink()
    assert make(clone, "setup").returncode == 0
    assert (clone / ".venv/.installed").is_file()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "types", "docs", "drill"])
def test_targets_set_up_first_and_once(clone: Path, target: str) -> None:
    assert "[3/3]" in make(clone, "-n", target).stdout
    assert make(clone, "setup").returncode == 0
    assert "[3/3]" not in make(clone, "-n", target).stdout


@pytest.mark.parametrize("target", COMMANDS)
def test_targets_run_their_commands(clone: Path, target: str) -> None:
    printed = make(clone, "-n", target).stdout
    places = [printed.find(command) for command in COMMANDS[target]]
    assert -1 not in places
    assert places == sorted(places)


def test_all_tests_are_the_usual_ones_and_the_thorough(clone: Path) -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    (usual,) = re.findall("-m '(.*)'", options["ini_options"]["addopts"])
    printed = make(clone, "-n", "test", "TESTS=all").stdout
    (everything,) = re.findall("pytest .* -m '(.*)'", printed)
    assert usual == f"{everything} and not thorough"
    assert " -m '" not in make(clone, "-n", "test").stdout.partition("-m pytest")[2]
    assert everything in make(clone, "-n", "check").stdout
    assert "make test\n" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "TESTS=most: use usual or all" in make(clone, "test", "TESTS=most").stderr


def test_the_demo_takes_a_size(clone: Path) -> None:
    printed = make(clone, "-n", "demo", "SIZE=pocket").stdout
    assert "lab sweep matched-params --size pocket" in printed
    assert "lab report matched-params --size pocket" in printed


@pytest.mark.parametrize(("version", "is_refused"), [((3, 10, 12), True), ((3, 11, 0), False)])
def test_python_3_11_is_the_oldest(clone: Path, version: tuple[int, ...], is_refused: bool) -> None:
    text = OF_VERSION.format(python=sys.executable, version=version)
    (clone / "python").write_text(text, encoding="utf-8")
    done = make(clone, "setup")
    assert ("error: Python 3.11 or newer is needed; set PYTHON=..." in done.stdout) == is_refused
    assert ("Creating the virtual environment" in done.stdout) != is_refused
