"""`make setup` without a network: a stand-in for Python and pip records what is installed."""

import os
import shutil
import subprocess
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
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
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


@pytest.mark.parametrize("target", ["demo", "test", "lint", "types", "drill"])
def test_targets_set_up_first_and_once(clone: Path, target: str) -> None:
    assert "[3/3]" in make(clone, "-n", target).stdout
    assert make(clone, "setup").returncode == 0
    assert "[3/3]" not in make(clone, "-n", target).stdout
