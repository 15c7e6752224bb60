"""What the project's documents hold: headings, rows of tables, named files and tests."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A path, which may go on with the name of a test.
_PATHS = re.compile(r"`((?:tests|docs|kernels|switchhead_lab|sweeps)/[\w./-]+\.\w+)(?:::\w+)?`")
_LINKS = re.compile(r"\]\((?!https?:|#)([^)#]+)")
_BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELLS = ("sh", "console", "")
_TESTS = re.compile(r"`(tests/[\w./-]+\.py)::(\w+)`")
# Code, and parts that a command writes.
_NOT_WRITTEN = re.compile(
    r"^```.*?^```|^<!-- (\w+): begin -->.*?^<!-- \1: end -->", re.MULTILINE | re.DOTALL
)
# Marks of tests that `make test` leaves out.
_LEFT_OUT = {f"pytest.mark.{name}" for name in ("slow", "drill", "gpu", "network")}


@dataclass(frozen=True)
class NamedTest:
    """A test function that a document names."""

    file: str
    function: str


def read_document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> list[str]:
    """Return the README and the pages of the site, by their paths in the project."""
    return ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


def code_blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [block for name, block in _BLOCKS.findall(text) if name == language]


def without_blocks(text: str) -> str:
    return _BLOCKS.sub("", text)


def shell_lines(text: str) -> list[str]:
    """Return the lines of blocks with commands, without comments.

    A block without a language is one only if it has a line with `lab` or `make`.
    """
    lines = []
    for language, block in _BLOCKS.findall(text):
        is_shell = language in _SHELLS and (language or re.search(r"^(lab|make) ", block, re.M))
        if is_shell:
            lines += [line.partition("  #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line]


def named_paths(text: str) -> list[Path]:
    """Return the files of the project that a text names."""
    return [ROOT / path for path in _PATHS.findall(text)]


def linked_paths(document: str) -> list[Path]:
    """Return the files that a document links to."""
    return [(ROOT / document).parent / path for path in _LINKS.findall(read_document(document))]


def named_tests(text: str) -> list[NamedTest]:
    """Return the tests that a text names as `file::function`."""
    return [NamedTest(*found) for found in _TESTS.findall(text)]


def missing_tests(tests: list[NamedTest]) -> list[NamedTest]:
    """Return the tests that do not exist or that `make test` leaves out."""
    return [test for test in tests if test.function not in _tests_in(ROOT / test.file)]


@cache
def _tests_in(path: Path) -> set[str]:
    """Return the test functions of a file that run by default, without importing it."""
    body = ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []
    of_the_file = [mark for node in body for mark in _file_marks(node)]
    return {
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not any(map(_leaves_out, [*of_the_file, *node.decorator_list]))
    }


def _file_marks(node: ast.stmt) -> list[ast.expr]:
    """Return the marks that an assignment to `pytestmark` gives to all tests of a file."""
    if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"):
        return []
    return node.value.elts if isinstance(node.value, ast.List) else [node.value]


def _leaves_out(mark: ast.expr) -> bool:
    return ast.unparse(mark) in _LEFT_OUT


def headings(text: str) -> list[str]:
    """Return the headings below a document's title, except in code and generated parts."""
    return re.findall(r"^##+ (.+)$", _NOT_WRITTEN.sub("", text), re.MULTILINE)


def sections(text: str, level: int) -> dict[str, str]:
    """Return the text under each heading of a level, by heading."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of a text's tables, without heads."""
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not any(one.startswith("| ---") for one in (line, below)):
            yield [cell.strip() for cell in line.split("|")[1:-1]]
