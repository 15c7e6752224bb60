"""What documents name exists."""

import pytest
from documents import ROOT, linked_paths, named_paths, pages, read_document, table_rows

DOCUMENTS = [*pages(), "CONTRIBUTING.md", "CHANGELOG.md", "kernels/README.md"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_exist(document: str) -> None:
    paths = [*named_paths(read_document(document)), *linked_paths(document)]
    assert [str(path) for path in paths if not path.exists()] == []


def test_every_fault_has_a_promise_and_what_shows_it() -> None:
    rows = [row for row in table_rows(read_document("docs/faults.md")) if len(row) == 4]
    assert {row[0] for row in rows} == {f"F{number}" for number in range(1, 25)}
    for name, fault, promise, shown_by in rows:
        assert fault, name
        assert promise, name
        # What is not there yet promises nothing.
        assert named_paths(shown_by) or "yet" in promise, name


# What concerns several packages at once; every other folder tests the package of its name.
ACROSS_PACKAGES = {
    *("architecture", "drills", "golden", "integration", "mutations", "numerics", "plugins"),
}


def test_tests_lie_in_a_folder_named_after_their_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("switchhead_lab/*/__init__.py")}
    folders = {path.parent.name for path in ROOT.glob("tests/*/*.py")}
    assert folders - ACROSS_PACKAGES <= {*packages, "kernels"}
    # A package within a package may have a folder of its own.
    inner = {path.parent.relative_to(ROOT / "tests") for path in ROOT.glob("tests/*/*/*.py")}
    assert [path for path in inner if not (ROOT / "switchhead_lab" / path).is_dir()] == []
    assert not list(ROOT.glob("tests/*/*/*/*.py"))


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted({*names})
