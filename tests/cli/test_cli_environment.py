"""`lab` in unusual environments: it works, or reports the problem in one line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.app import app
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.tracking.run_dir import RunDir

NAME = "a[b]c [/q] :smile:"


@pytest.fixture
def root(workspace: Workspace, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Path:
    """A workspace with one run, in a folder whose name looks like markup."""
    workspace.runs_dir.mkdir()
    labels = RunLabels(size="tiny", variant="model")
    RunDir.open(workspace.runs_dir, tiny_config(), labels, {}, b"").close("failed", 1, "[/why]")
    return Path(shutil.move(workspace.root, tmp_path / NAME))


def lab(*arguments: str, cwd: Path, without: tuple[str, ...] = (), **options):
    environment = {name: value for name, value in os.environ.items() if name not in without}
    environment |= options.pop("env", {})
    command = [sys.executable, "-m", "switchhead_lab", *arguments]
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, check=False, **options
    )


@pytest.mark.parametrize("command", [["runs", "list"], ["data", "list"], ["sweep", "list"]])
def test_names_that_look_like_markup_are_printed_verbatim(
    root: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception
    assert NAME in done.output or command[0] == "sweep"


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "1"},
        {"COLUMNS": "0", "TERM": "dumb"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"HOME": ""},
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_listing_works_in_any_environment(root: Path, environment: dict[str, str]) -> None:
    done = lab("runs", "list", cwd=root, without=("TERM", "HOME"), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"words-tiny-model-xl-lr0.003-0-" in done.stdout


def test_a_closed_pipe_is_not_an_error(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = lab("runs", "list", cwd=root, stdout=writing)
    finally:
        os.close(writing)
    assert done.stderr == b""


def test_a_deleted_current_folder_is_an_error(root: Path, tmp_path: Path) -> None:
    command = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m switchhead_lab runs list'
    for home in ("", str(root)):
        done = subprocess.run(
            ["sh", "-c", command, sys.executable],
            cwd=tmp_path,
            env={**os.environ, "LAB_HOME": home},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: the current folder no longer exists")


def test_a_file_whose_name_is_not_utf8(root: Path) -> None:
    name = os.fsdecode(b"\xff.txt")
    (root / name).write_text("some words\n" * 99, encoding="utf-8")
    done = lab("data", "prepare", name, "--name", "mine", cwd=root)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: ")
    assert rb"/\xff.txt: not UTF-8, which records need; rename it" in done.stderr
    missing = lab("train", os.fsdecode(b"\xfe.toml"), cwd=root)
    assert (missing.returncode, missing.stderr) == (2, b"error: \\udcfe.toml: no such file\n")


def test_a_workspace_whose_name_is_not_utf8(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"\xff")
    root.mkdir()
    (root / "lab.toml").write_text("", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="not UTF-8, which records need; rename it"):
        find_workspace(root, environment={})


def test_an_unknown_home_folder_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    (tmp_path / "lab.toml").write_text('runs_dir = "~/runs"\n', encoding="utf-8")
    found = find_workspace(tmp_path, environment={})
    with pytest.raises(WorkspaceError, match="~/runs: the home folder is unknown; set HOME"):
        found.runs_dir.exists()


@pytest.mark.parametrize(
    "command",
    [
        *(("runs", "list"), ("data", "list"), ("runs", "list", "--json")),
        pytest.param(("doctor", "--json"), marks=pytest.mark.thorough),
    ],
)
def test_unwritable_output_is_one_error(root: Path, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = lab(*command, cwd=root, stdout=full)
    assert done.returncode == 2
    errors = done.stderr.decode()
    assert errors.startswith("error: the output cannot be written: No space left on device")
    assert errors.count("\n") == 1
