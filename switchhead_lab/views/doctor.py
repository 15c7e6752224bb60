"""Output of `lab doctor`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from switchhead_lab.terminal import Table

if TYPE_CHECKING:
    from switchhead_lab.training.diagnosis import Finding


def finding_table(findings: "Sequence[Finding]") -> Table:
    """Return the findings about machine and workspace, with advice."""
    rows = [[finding.subject, finding.finding, finding.advice] for finding in findings]
    return Table("this machine and workspace", ("", "", "advice"), rows, n_text_columns=3)
