"""`docs/promises.md` covers every section of the documents and names tests that exist."""

from pathlib import Path

import documents
import pytest
from documents import (
    NamedTest,
    headings,
    missing_tests,
    named_tests,
    pages,
    read_document,
    sections,
    table_rows,
)

PROMISES = sections(read_document("docs/promises.md"), 2)
NOTHING = "Sections that promise nothing"
TOP = "At the top"  # of a document, before its first heading
DOCUMENTS = [
    *(page for page in pages() if page != "docs/promises.md"),
    *("CONTRIBUTING.md", "kernels/README.md"),
]


def test_all_documents_are_covered() -> None:
    assert sorted(PROMISES) == sorted([*DOCUMENTS, NOTHING])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_section_has_promises_or_is_listed_without(document: str) -> None:
    rows = table_rows(PROMISES[NOTHING])
    without = [section for name, section, _ in rows if name == document]
    covered = {*sections(PROMISES[document], 3)} - {TOP}
    assert covered.isdisjoint(without)
    assert {*covered, *without} == set(headings(read_document(document)))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_promise_is_held_by_tests_that_exist(document: str) -> None:
    for section, text in sections(PROMISES[document], 3).items():
        rows = list(table_rows(text))
        assert rows, section
        for promise, held_by in rows:
            assert promise, section
            tests = named_tests(held_by)
            assert tests, promise
            assert held_by.count("`") == 2 * len(tests), f"{promise}: not file::function"
            assert missing_tests(tests) == [], promise


def test_every_section_without_promises_says_why() -> None:
    assert all(all(row) for row in table_rows(PROMISES[NOTHING]))


TEXT = """
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_runs(n): ...
@pytest.mark.slow
def test_is_slow(): ...
def helper(): ...
"""


def test_wrong_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(TEXT, encoding="utf-8")
    drill = f"pytestmark = [\n    pytest.mark.drill,\n]\n{TEXT}"
    (tmp_path / "tests/test_drill.py").write_text(drill, encoding="utf-8")
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    names = ["a.py::test_runs", "a.py::test_is_slow", "a.py::helper", "drill.py::test_runs"]
    named = named_tests(", ".join(f"`tests/test_{name}`" for name in [*names, "b.py::test_runs"]))
    assert named[0] == NamedTest("tests/test_a.py", "test_runs")
    assert len(named) == 5
    assert missing_tests(named) == named[1:]
