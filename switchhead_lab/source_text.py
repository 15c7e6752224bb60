"""Source text: what it imports, and what is left without comments and docstrings."""

import ast
import inspect
import io
import itertools
import re
import textwrap
import tokenize
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import resolve_name

_CPP_COMMENT = re.compile(
    rb'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|//[^\n]*|/\*.*?\*/', re.DOTALL
)
# Line, first byte, last line, end byte; lines count from 0.
_Span = tuple[int, int, int, int]
# Nodes in lists of statements, or with such lists.
_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)


@lru_cache(maxsize=1024)
def meaning_of(name: str, source: bytes) -> bytes:
    """Return source text without comments, docstrings and blank lines.

    Args:
        name: File name; its suffix tells the language, Python or C++.
        source: Contents of the file.
    """
    kept = _without_python_comments(source) if name.endswith(".py") else _without_cpp(source)
    lines = (line.rstrip() for line in kept.splitlines())
    return b"\n".join(line for line in lines if line)


def imported_names(source: bytes, package: str = "") -> list[str]:
    """Return the names that Python source imports: modules, or attributes of modules.

    Imports inside functions count.

    Args:
        source: Contents of the file.
        package: Package of the module, for relative imports.
    """
    names: list[str] = []
    for node in _parsed(source).imports:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        else:
            relative = "." * node.level + (node.module or "")
            module = resolve_name(relative, package) if node.level else relative
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names


def documented_attributes(cls: type) -> list[str]:
    """Return the annotated attributes in a class's body that a docstring follows.

    Pydantic could collect them too, but it does so whenever a class is made, for every command.
    """
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):  # no source, as of built-in classes
        return []
    assert isinstance(body, ast.ClassDef), "the source of a class defines it"
    return [
        one.target.id
        for one, after in itertools.pairwise(body.body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    ]


def _without_cpp(source: bytes) -> bytes:
    return _CPP_COMMENT.sub(lambda match: match[1] or b" ", source)


def _without_python_comments(source: bytes) -> bytes:
    """Remove comments and string statements; text that is not valid Python is returned whole."""
    try:
        spans = [*_parsed(source).strings, *_comments(source)]
    except (SyntaxError, ValueError, tokenize.TokenError):
        return source
    lines = source.splitlines()
    # From the end, so that earlier positions stay valid.
    for first, start, last, end in sorted(spans, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]]
    return b"\n".join(lines)


@dataclass(frozen=True)
class _Parsed:
    """What is read from the syntax tree of a source file.

    Attributes:
        imports: Its imports.
        strings: Positions of docstrings, those of attributes included.
    """

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    strings: tuple[_Span, ...]


@lru_cache(maxsize=1024)
def _parsed(source: bytes) -> _Parsed:
    """Parse Python source, once for its imports and its docstrings."""
    statements = list(_statements(ast.parse(source)))
    imports = (one for one in statements if isinstance(one, ast.Import | ast.ImportFrom))
    return _Parsed(tuple(imports), tuple(_string_statements(statements)))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a tree in the order of `ast.walk`, which also visits expressions."""
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        yield node
        for name in node._fields:
            children = getattr(node, name)
            if isinstance(children, list) and children and isinstance(children[0], _HOLDERS):
                waiting.extend(children)


def _string_statements(statements: Iterable[ast.AST]) -> Iterator[_Span]:
    """Yield the positions of statements that are a string."""
    for node in statements:
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str):
            last, end = node.end_lineno, node.end_col_offset
            assert last is not None, "parsed source has positions"
            assert end is not None, "parsed source has positions"
            yield node.lineno - 1, node.col_offset, last - 1, end


def _comments(source: bytes) -> Iterator[_Span]:
    if b"#" not in source:  # splitting into tokens takes longer than parsing
        return
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            start = len(token.line[:column].encode())
            yield line - 1, start, line - 1, start + len(token.string.encode())
