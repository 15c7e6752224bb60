"""`lab audit`: the paper's printed figures compared with its formulas and models."""

from typing import Annotated

import typer


def audit(
    quiet: Annotated[bool, typer.Option("--quiet", help="Only write the page.")] = False,
) -> None:
    """Check every cost, size and width that the paper prints, and write reports/audit.md.

    Example: lab audit
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.reporting.audit_page import write_audit

    path, text = write_audit(find_workspace().reports_dir)
    if not quiet:
        typer.echo(text)
    typer.echo(f"written to {path}")
