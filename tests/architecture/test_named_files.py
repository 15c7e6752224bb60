"""What documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "kernels/README.md", "docs/faults.md"]
PATHS = re.compile(r"`((?:tests|docs|kernels|switchhead_lab|sweeps)/[\w./-]+\.\w+)`")
LINKS = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = [ROOT / path for path in PATHS.findall(text)]
    linked = [(ROOT / document).parent / path for path in LINKS.findall(text)]
    assert [str(path) for path in (*named, *linked) if not path.exists()] == []


def test_every_fault_has_a_promise_and_what_shows_it() -> None:
    text = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("| F")
    ]
    assert {row[0] for row in rows} == {f"F{number}" for number in range(1, 24)}
    for name, fault, promise, shown_by in rows:
        assert fault, name
        assert promise, name
        # What is not there yet promises nothing.
        assert PATHS.search(shown_by) or "yet" in promise, name


# What concerns several packages at once; every other folder tests the package of its name.
ACROSS_PACKAGES = {
    *("architecture", "drills", "golden", "integration", "mutations", "numerics", "plugins"),
}


def test_tests_lie_in_a_folder_named_after_their_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("switchhead_lab/*/__init__.py")}
    folders = {path.parent.name for path in ROOT.glob("tests/*/*.py")}
    assert folders - ACROSS_PACKAGES <= {*packages, "kernels"}
    assert [str(path) for path in ROOT.glob("tests/*/*/*.py")] == []
