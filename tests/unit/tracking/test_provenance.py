import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from switchhead_lab.tracking import provenance
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
    (root / "code.py").write_text("width = 1\n", encoding="utf-8")
    git(root, "add", ".")
    git(root, "commit", "--message", "first")
    return root


def test_clean_checkout(repository: Path) -> None:
    found = collect(repository)
    state = found.values["git"]
    assert len(state.pop("commit")) == 40
    assert state == {"branch": "trunk", "dirty": False, "n_untracked": 0, "untracked": []}
    assert found.uncommitted_diff == ""


def test_changes_and_new_files_are_kept_from_a_subfolder_too(repository: Path) -> None:
    (repository / "code.py").write_text("width = 2\n", encoding="utf-8")
    (repository / "sub").mkdir()
    (repository / "brand new.txt").write_text("x", encoding="utf-8")
    found = collect(repository / "sub")
    assert found.values["git"]["dirty"] is True
    assert found.values["git"]["untracked"] == ["brand new.txt"]
    assert "-width = 1\n+width = 2\n" in found.uncommitted_diff


def test_diff_can_be_applied_again(repository: Path) -> None:
    (repository / "code.py").write_bytes(b"\0\1binary")
    git(repository, "config", "diff.external", "false")
    diff = collect(repository).uncommitted_diff
    git(repository, "checkout", "--", ".")
    (repository.parent / "changes.diff").write_text(diff, encoding="utf-8")
    git(repository, "apply", str(repository.parent / "changes.diff"))
    assert (repository / "code.py").read_bytes() == b"\0\1binary"


def test_variables_of_an_outer_git_do_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert collect(repository).values["git"]["commit"]


def test_detached_head_has_no_branch(repository: Path) -> None:
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


def test_a_hanging_git_is_given_up(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_git(tmp_path / "bin", "exec sleep 30")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "GIT_TIMEOUT_SECONDS", 0.2)
    began = time.monotonic()
    assert "longer than 0.2 s" in collect(repository).values["git"]["reason"]
    assert time.monotonic() - began < 5


def test_nothing_secret_is_collected(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    address = "postgresql+psycopg://me:hunter2@host/db"
    (repository / "code.py").write_text(f'uri = "{address}"\n', encoding="utf-8")
    found = collect(repository, ("lab", "--uri", address))
    assert "hunter2" not in json.dumps(found.values) + found.uncommitted_diff
    assert found.values["argv"][-1] == "postgresql+psycopg://me:***@host/db"
    assert found.values["environment"]["OMP_NUM_THREADS"] == "3"


def test_secrets_of_addresses_in_use_are_masked_anywhere(repository: Path) -> None:
    address = "postgresql+psycopg://me:S3/c ret@host/db?options=a@b"
    (repository / "code.py").write_text('password = "S3%2Fc+ret"\n', encoding="utf-8")
    command = ("lab", "--set", f"tracking_uri={address}", "--password", "S3/c ret")
    found = collect_provenance(
        repository, data_manifest=None, device=None, command=command, addresses=(address,)
    )
    assert "ret" not in json.dumps(found.values["argv"])
    assert found.values["argv"][-2:] == ["--password", "***"]
    assert '+password = "***"\n' in found.uncommitted_diff


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
