"""Output of `lab doctor`."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from switchhead_lab.terminal import NARROW

if TYPE_CHECKING:
    from switchhead_lab.training.diagnosis import Finding


def finding_lines(findings: "Sequence[Finding]") -> Iterator[str]:
    """Yield the findings about machine and workspace, each with its advice below it, if any."""
    width = max(len(finding.subject) for finding in findings) + 2
    for finding in findings:
        yield from _wrapped(f"{finding.subject:{width}}", finding.finding, " " * width)
        if finding.advice:
            yield from _wrapped(" " * width + "advice: ", finding.advice, " " * (width + 2))


def _wrapped(start: str, text: str, indent: str) -> list[str]:
    """Return a text wrapped to 80 columns; words longer than a line, such as paths, stay whole."""
    return textwrap.wrap(
        text,
        NARROW,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
