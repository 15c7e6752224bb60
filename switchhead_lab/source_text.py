"""Source text: what it imports, and what is left without comments and docstrings."""

import ast
import inspect
import io
import itertools
import re
import textwrap
import tokenize
from collections.abc import Iterator
from importlib.util import resolve_name

_CPP_COMMENT = re.compile(
    rb'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|//[^\n]*|/\*.*?\*/', re.DOTALL
)
# Line, first byte, last line, end byte; lines count from 0.
_Span = tuple[int, int, int, int]


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
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
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
        spans = [*_string_statements(source), *_comments(source)]
    except (SyntaxError, ValueError, tokenize.TokenError):
        return source
    lines = source.splitlines()
    # From the end, so that earlier positions stay valid.
    for first, start, last, end in sorted(spans, reverse=True):
        lines[first : last + 1] = [lines[first][:start] + lines[last][end:]]
    return b"\n".join(lines)


def _string_statements(source: bytes) -> Iterator[_Span]:
    """Yield the positions of docstrings, those of attributes included."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str):
            last, end = node.end_lineno, node.end_col_offset
            assert last is not None, "parsed source has positions"
            assert end is not None, "parsed source has positions"
            yield node.lineno - 1, node.col_offset, last - 1, end


def _comments(source: bytes) -> Iterator[_Span]:
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            start = len(token.line[:column].encode())
            yield line - 1, start, line - 1, start + len(token.string.encode())
