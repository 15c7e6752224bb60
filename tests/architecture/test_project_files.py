"""pyproject.toml, constraints.txt and the documents agree with the files of the project."""

import re
import subprocess
import tomllib
import warnings
from pathlib import Path

import pytest
from documents import ROOT, read_document, sections, table_rows

PROJECT = tomllib.loads(read_document("pyproject.toml"))
FOLDERS = {"switchhead_lab": "switchhead_lab", "switchhead_kernels": "kernels"}


def files_of(package: str) -> list[Path]:
    """Return the files of a package, relative to its folder."""
    folder = ROOT / FOLDERS[package]
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in files if path.suffix != ".pyc"]


def test_every_package_is_installed() -> None:
    found = {
        ".".join([package, *path.parent.parts])
        for package in FOLDERS
        for path in files_of(package)
        if path.suffix == ".py"
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_other_file_is_installed() -> None:
    """Such as the C++ that is compiled on first use."""
    installed = {
        path.relative_to(ROOT / FOLDERS[package])
        for name, patterns in PROJECT["tool"]["setuptools"]["package-data"].items()
        for package, *parts in [name.split(".")]
        for pattern in patterns
        for path in (ROOT / FOLDERS[package]).joinpath(*parts).glob(pattern)
    }
    others = {
        path
        for package in FOLDERS
        for path in files_of(package)
        if path.suffix not in (".py", ".md")
    }
    assert others == installed


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_has_an_exact_version() -> None:
    project = PROJECT["project"]
    wanted = {
        normal(re.match(r"[\w.-]+", requirement)[0])
        for group in (project["dependencies"], *project["optional-dependencies"].values())
        for requirement in group
    }
    pinned = {
        normal(line.partition("==")[0])
        for line in read_document("constraints.txt").splitlines()
        if "==" in line
    }
    assert wanted - pinned - {normal(project["name"])} == set()


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning, match="unexpected"):
        warnings.warn("unexpected", stacklevel=1)


def test_tests_that_hang_are_ended(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.hasplugin("timeout")
    assert float(pytestconfig.getini("timeout")) == 600.0


def test_the_readme_names_every_folder_and_package() -> None:
    rows = dict(table_rows(sections(read_document("README.md"), 2)["The folders"]))
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    folders = {name.split("/")[0] for name in tracked if "/" in name and name[0] != "."}
    assert {row.strip("`/") for row in rows} == folders
    packages = {path.parent.name for path in ROOT.glob("switchhead_lab/*/__init__.py")}
    assert set(re.findall(r"`(\w+)`", rows["`switchhead_lab/`"])) == packages


def test_the_kernels_document_names_every_operator() -> None:
    named = {row[0].strip("`") for row in table_rows(read_document("kernels/README.md"))}
    assert {path.parent.name for path in ROOT.glob("kernels/*/op.py")} <= named
