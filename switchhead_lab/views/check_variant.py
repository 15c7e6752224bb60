"""Output of `lab check-variant`: the result of each check, and why promises are broken."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from switchhead_lab.terminal_table import Table

if TYPE_CHECKING:
    from switchhead_lab.contract.checks import VariantReport


def report_table(report: "VariantReport") -> Table:
    """Return the result of each check of a variant."""
    results = {f.check: "broken" if f.problem else "ok" for f in report.findings}
    rows = [*results.items(), *((subject, "missing") for subject in report.gaps)]
    title = "\n  ".join([f"{report.kind} {report.block}, checked on:", *report.examples])
    return Table(title, ("check", "result"), rows, n_text_columns=2)


def report_lines(report: "VariantReport") -> Iterator[str]:
    """Yield broken promises and missing parts, then an empty line."""
    for finding in report.findings:
        if finding.problem:
            yield f"broken: {finding.check}: {finding.problem}\n  promise: {finding.promise}"
    for subject, gap in report.gaps.items():
        yield f"missing: {subject}: {gap}"
    yield ""
