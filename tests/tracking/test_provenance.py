import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from switchhead_lab.tracking import git_state, provenance
from switchhead_lab.tracking.provenance import Provenance, collect_provenance


def collect(root: Path, command: tuple[str, ...] = ("lab",)) -> Provenance:
    return collect_provenance(root, data_manifest=None, device=None, command=command)


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def fake_git(folder: Path, script: str) -> Path:
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--initial-branch", "trunk")
    (root / "kernels").mkdir()
    for name in ("code.py", "gone.py", "other.py"):
        (root / "kernels" / name).write_text(f'"""{name}"""\nwidth = 1\n', encoding="utf-8")
    (root / "notes.md").write_text("notes\n", encoding="utf-8")
    (root / ".gitignore").write_text("*.log\n", encoding="utf-8")
    git(root, "config", "core.autocrlf", "false")
    git(root, "add", ".")
    git(root, "commit", "--message", "first")
    return root


def change(root: Path) -> None:
    """Change, add and remove source files in the ways that a diff must represent."""
    sources = root / "kernels"
    (sources / "code.py").write_bytes(b"# \xe9 is Latin-1\r\nwidth = 2\n")
    (sources / "gone.py").unlink()
    (sources / "other.py").rename(sources / "moved.py")
    (sources / "new file.py").write_bytes(b"no newline at the end")
    (sources / "caf\u00e9.bin").write_bytes(b"\0\1\xff\r\nbinary" * 40)
    (sources / "empty.py").touch()


def sources_of(root: Path) -> dict[str, bytes]:
    paths = [*(root / "kernels").rglob("*"), root / "pyproject.toml"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}


def test_clean_checkout(repository: Path) -> None:
    found = collect(repository)
    state = found.values["git"]
    assert len(state.pop("commit")) == 40
    assert state == {
        "branch": "trunk",
        "dirty": False,
        "source_paths": ["switchhead_lab", "kernels", "pyproject.toml", "constraints.txt"],
        "n_changed": 0,
        "changed": [],
        "n_untracked": 0,
        "untracked": [],
        "left_out": [],
    }
    assert found.uncommitted_diff == b""


def test_other_files_are_listed_but_do_not_make_it_dirty(repository: Path) -> None:
    (repository / "sweeps").mkdir()
    (repository / "sweeps" / "mine.toml").touch()
    (repository / "notes.md").write_text("other notes\n", encoding="utf-8")
    (repository / "kernels" / "debug.log").touch()  # ignored by git
    found = collect(repository)
    state = found.values["git"]
    assert (state["dirty"], found.uncommitted_diff) == (False, b"")
    assert (state["changed"], state["untracked"]) == (["notes.md"], ["sweeps/mine.toml"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user.name", "nothing special"),
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("color.diff", "always"),
        ("color.ui", "always"),
        ("core.quotePath", "false"),
        ("diff.external", "false"),
        ("diff.renames", "copies"),
        ("diff.context", "0"),
        ("diff.interHunkContext", "9"),
        ("diff.orderFile", "missing"),
        ("diff.relative", "true"),
        ("diff.suppressBlankEmpty", "true"),
        ("core.autocrlf", "true"),
        ("core.autocrlf", "input"),
        ("core.safecrlf", "true"),
        ("core.splitIndex", "true"),
    ],
)
def test_the_diff_reproduces_the_sources_on_a_fresh_clone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    git(repository, "config", "--unset", "core.autocrlf")
    git(tmp_path, "config", "--file", str(tmp_path / "gitconfig"), key, value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (repository / "pyproject.toml").write_text("[new]\n", encoding="utf-8")
    git(repository, "add", "pyproject.toml")
    change(repository)
    index = (repository / ".git" / "index").read_bytes()
    objects = sorted((repository / ".git" / "objects").rglob("*"))
    found = collect(repository)
    assert (repository / ".git" / "index").read_bytes() == index
    assert sorted((repository / ".git" / "objects").rglob("*")) == objects
    assert found.values["git"]["dirty"] is True
    assert "reason" not in found.values["git"]
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", str(repository), str(clone))
    (tmp_path / "uncommitted.diff").write_bytes(found.uncommitted_diff)
    git(clone, "apply", str(tmp_path / "uncommitted.diff"))
    assert sources_of(clone) == sources_of(repository)
    assert len(sources_of(clone)) == 6


def test_a_change_right_after_a_commit_is_detected(repository: Path) -> None:
    """Same size and second as in the index: git must read the file, with the copied index too."""
    path = repository / "kernels" / "code.py"
    for width in range(2, 8):
        git(repository, "add", ".")
        git(repository, "commit", "--allow-empty", "--message", "next")
        path.write_text(path.read_text("utf-8").replace(str(width - 1), str(width)), "utf-8")
        (repository / "kernels" / "new.py").touch()
        assert f"+width = {width}".encode() in collect(repository).uncommitted_diff
        (repository / "kernels" / "new.py").unlink()


def test_changes_are_found_in_a_project_in_a_subfolder(repository: Path) -> None:
    project = repository / "project"
    (project / "kernels").mkdir(parents=True)
    (project / "kernels" / "code.py").write_text("width = 1\n", encoding="utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "--message", "project")
    (repository / "kernels" / "code.py").write_text("not the project's\n", encoding="utf-8")
    assert collect(project).values["git"]["dirty"] is False
    (project / "kernels" / "code.py").write_text("width = 2\n", encoding="utf-8")
    found = collect(project)
    assert found.values["git"]["dirty"] is True
    assert b"-width = 1\n+width = 2\n" in found.uncommitted_diff
    assert b"not the project's" not in found.uncommitted_diff


def test_an_untracked_folder_has_no_commit(repository: Path) -> None:
    installed = repository / "environment" / "site-packages"
    installed.mkdir(parents=True)
    state = collect(installed).values["git"]
    assert state["commit"] is None
    assert f"does not track {installed}" in state["reason"]


def test_large_new_files_are_listed_but_not_in_the_diff(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_state, "MAX_NEW_FILE_BYTES", 10)
    (repository / "kernels" / "large.py").write_bytes(b"x" * 11)
    (repository / "kernels" / "small.py").write_bytes(b"y" * 10)
    (repository / "kernels" / "link.py").symlink_to("code.py")
    found = collect(repository)
    assert found.values["git"]["left_out"] == ["kernels/large.py", "kernels/link.py"]
    assert b"y" * 10 in found.uncommitted_diff
    assert b"x" * 11 not in found.uncommitted_diff


@pytest.mark.parametrize(
    ("failing", "commit", "dirty"),
    [("rev-parse --verify", False, None), ("--name-only", True, None), ("-- kernels", True, True)],
)
def test_known_values_are_kept_when_a_later_step_hangs(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
    commit: bool,
    dirty: bool | None,
) -> None:
    (repository / "kernels" / "code.py").write_text("width = 2\n", encoding="utf-8")
    real = shutil.which("git")
    script = f'case "$*" in *"{failing}"*) exec sleep 30;; esac; exec {real} "$@"'
    folder = fake_git(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git_state, "GIT_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(git_state, "DIFF_TIMEOUT_SECONDS", 0.5)
    found = collect_provenance(
        repository, data_manifest=None, device=None, command=(), source_paths=("kernels",)
    )
    state = found.values["git"]
    assert (state["commit"] is not None) == commit
    assert state.get("dirty") is dirty
    assert re.search(r"git (rev-parse|diff) took longer than", state["reason"])
    assert found.uncommitted_diff == b""


def test_variables_of_an_outer_git_are_ignored(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert collect(repository).values["git"]["commit"]


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    git(repository, "checkout", "--detach")
    assert collect(repository).values["git"]["branch"] is None


def test_without_a_repository_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = collect(tmp_path)
    assert found.values["git"]["commit"] is None
    assert "not a git repository" in found.values["git"]["reason"]


def test_without_git_there_is_a_reason(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state = collect(repository).values["git"]
    assert state == {"commit": None, "reason": "git is not installed"}


def test_a_hanging_git_times_out(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_git(tmp_path / "bin", "exec sleep 30")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(git_state, "GIT_TIMEOUT_SECONDS", 0.2)
    assert "longer than 0.2 s" in collect(repository).values["git"]["reason"]


def test_nothing_secret_is_collected(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    address = "postgresql+psycopg://me:hunter2@host/db"
    path = repository / "kernels" / "code.py"
    path.write_text(f'uri = "{address}"\n', encoding="utf-8")
    found = collect(repository, ("lab", "--uri", address))
    assert "hunter2" not in json.dumps(found.values) + found.uncommitted_diff.decode()
    assert "passwords are masked" in found.values["git"]["reason"]
    assert found.values["argv"][-1] == "postgresql+psycopg://me:***@host/db"
    assert found.values["environment"]["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/home/me/.venv/bin/lab", ["lab"]),
        ("/home/me/switchhead_lab/__main__.py", ["python", "-m", "switchhead_lab"]),
        ("lab", ["lab"]),
    ],
)
def test_the_command_is_recorded_without_its_folder(
    repository: Path, program: str, words: list[str]
) -> None:
    found = collect(repository, (program, "sweep", "tiny"))
    assert found.values["argv"] == [*words, "sweep", "tiny"]


def test_secrets_of_addresses_in_use_are_masked_anywhere(repository: Path) -> None:
    address = "postgresql+psycopg://me:S3/c ret@host/db?options=a@b"
    (repository / "code.py").write_text('password = "S3%2Fc+ret"\n', encoding="utf-8")
    command = ("lab", "--set", f"tracking_uri={address}", "--password", "S3/c ret")
    found = collect_provenance(
        repository,
        data_manifest=None,
        device=None,
        command=command,
        source_paths=("code.py",),
        addresses=(address,),
    )
    assert "ret" not in json.dumps(found.values["argv"])
    assert found.values["argv"][-2:] == ["--password", "***"]
    assert b'+password = "***"\n' in found.uncommitted_diff


def test_versions_host_data_and_device(tmp_path: Path) -> None:
    found = collect_provenance(
        tmp_path, data_manifest={"digest": "d"}, device={"name": "cpu"}, command=["lab"]
    ).values
    assert found["data_manifest"] == {"digest": "d"}
    assert found["device"] == {"name": "cpu"}
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"]["pydantic"]
    assert set(found["versions"]) == {"python", *provenance.PACKAGES}
    assert found["host"]["cpu"]
    assert found["host"]["n_cpus"] >= found["host"]["n_cpus_usable"] >= 1
    assert found["host"]["memory_bytes"] > 2**20


def test_a_package_that_is_not_installed_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert collect(tmp_path).values["versions"]["no-such-package"] is None
