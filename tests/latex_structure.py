"""Checks of LaTeX tables that need no LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def _has_booktabs() -> bool:
    """Return whether the installed LaTeX has the one package that tables need."""
    finder = shutil.which("kpsewhich")
    if finder is None:
        return False
    return (
        subprocess.run([finder, "booktabs.sty"], capture_output=True, check=False).returncode == 0
    )


# Engines that need no network.
ENGINES = [
    name for name in ("pdflatex", "lualatex", "xelatex") if shutil.which(name) and _has_booktabs()
]
# The project does not require LaTeX. Without it, `check_table` checks the structure of every table,
# and tests/reporting/test_print.py estimates the width from the cells.
needs_latex = pytest.mark.skipif(not ENGINES, reason="no LaTeX with booktabs is installed")
_SPECIAL = re.compile(r"(?<!\\)[#_$&%^~]")
_COMMANDS = re.compile(r"\\(?:textbackslash|textasciitilde|textasciicircum)\{\}|\$\\(?:pm|times)\$")


def check_table(text: str) -> None:
    """Check environments, rules, escaped characters, and that every row has every column."""
    assert text.isascii()
    body = re.sub(r"^%.*\n", "", text)
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", body):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    alignment = re.search(r"\\begin\{tabular\}\{([lr]+)\}", body)
    assert alignment is not None
    tabular = body[alignment.end() : body.index(r"\end{tabular}")]
    rows = [line for line in tabular.splitlines() if line.endswith(r"\\")]
    assert rows
    for row in rows:
        cells = re.split(r"(?<!\\)&", row.removesuffix(r"\\"))
        assert len(cells) == len(alignment[1]), row
        for cell in cells:
            assert not _SPECIAL.search(_COMMANDS.sub("", cell)), cell
            assert cell.replace(r"\{", "").replace(r"\}", "").count("{") == cell.count("{}"), cell
    others = [line for line in tabular.splitlines() if line and line not in rows]
    assert others == [r"\toprule", r"\midrule", r"\bottomrule"]
    caption = re.search(r"\\caption\{(.*)\}$", body, re.MULTILINE)
    assert caption is not None
    assert not _SPECIAL.search(_COMMANDS.sub("", caption[1])), caption[1]


def compile_table(table: str, notes: str, folder: Path, engine: str) -> Path:
    """Compile a table and its notes as a document; return the PDF."""
    document = "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage{booktabs}",
            r"\begin{document}",
            table,
            notes,
            r"\end{document}",
        ]
    )
    path = folder / "document.tex"
    path.write_text(document, encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"]
    subprocess.run([engine, *options, path.name], cwd=folder, check=True, capture_output=True)
    return path.with_suffix(".pdf")
