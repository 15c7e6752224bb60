import ast
from pathlib import Path

import pytest

from switchhead_lab.source_text import _statements, imported_names, meaning_of

PYTHON = b'''"""A module."""

import os  # why


class A:
    """A class."""

    size: int = 1
    """A field."""

    def f(self, text: str = "# kept") -> str:
        """Return text."""
        # a comment
        return text + """also
# kept"""
'''


def test_comments_and_docstrings_of_python_do_not_count() -> None:
    assert meaning_of("a.py", PYTHON).decode() == (
        "import os\nclass A:\n    size: int = 1\n"
        '    def f(self, text: str = "# kept") -> str:\n'
        '        return text + """also\n# kept"""'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"""A class."""', b'"""Another\n\n    docstring."""'),
        (b'"""A field."""', b'"""Feld: \xc3\xa4\xc3\xb6."""'),
        (b"# why", b"# \xc3\xa4 why not"),
        (b"        # a comment\n", b"\n\n\n"),
        (b"\n", b"\r\n"),
    ],
)
def test_python_of_the_same_meaning_is_equal(old: bytes, new: bytes) -> None:
    assert old in PYTHON
    assert meaning_of("a.py", PYTHON.replace(old, new)) == meaning_of("a.py", PYTHON)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"= 1", b"= 2"), (b'"# kept"', b'"# lost"'), (b"\n# kept", b"\n# lost"), (b"A:", b"B:")],
)
def test_python_of_another_meaning_differs(old: bytes, new: bytes) -> None:
    assert old in PYTHON
    assert meaning_of("a.py", PYTHON.replace(old, new)) != meaning_of("a.py", PYTHON)


INNER = b"""
try:
    "dropped"
    import a
except ValueError as error:
    "dropped"
    from b import c
else:
    f("kept", lambda: "kept")
finally:
    import d
match "kept":
    case "kept":
        "dropped"
        import e
with f("kept"):
    import g
    if a: import h
    elif d: import i
"""


def test_every_inner_statement_counts() -> None:
    left = meaning_of("a.py", INNER)
    assert b"dropped" not in left
    assert left.count(b"kept") == INNER.count(b"kept")
    assert sorted(imported_names(INNER)) == ["a", "b", "b.c", "d", "e", "g", "h", "i"]


def test_statements_are_found_in_the_order_of_the_tree() -> None:
    files = (Path(__file__).parents[1] / "switchhead_lab" / "training").glob("*.py")
    for source in (INNER, *(path.read_bytes() for path in files)):
        tree = ast.parse(source)
        expected = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        found = [node for node in _statements(tree) if isinstance(node, ast.stmt)]
        assert found == expected


def test_invalid_python_counts_as_it_is() -> None:
    assert meaning_of("a.py", b"def f(:  # no\n") == b"def f(:  # no"


def test_comments_of_cpp_do_not_count() -> None:
    source = (
        b'int a = 1; // one\n/* two\nthree */ char b[] = "// kept"; char c = \'"\';\n\n// end\n'
    )
    assert meaning_of("a.cpp", source) == (
        b'int a = 1;\n  char b[] = "// kept"; char c = \'"\';'.replace(b"\n  ", b"\n  ")
    )
    assert meaning_of("a.h", b"a / b; a /* c */ / d;") == b"a / b; a   / d;"


def test_imported_names_include_relative_and_inner_imports() -> None:
    source = b"import a.b\nfrom . import c\nfrom ..d import e\ndef f():\n    from g import h\n"
    assert imported_names(source, "p.q") == [
        *("a.b", "p.q", "p.q.c", "p.d", "p.d.e", "g", "g.h"),
    ]
