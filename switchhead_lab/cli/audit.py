"""`lab audit`: the paper's printed figures compared with its formulas and models."""

import typer


def audit() -> None:
    """Check the costs, sizes, widths and ratios that the paper prints.

    Prints a summary and writes everything to reports/audit.md and reports/audit.csv.

    Example: lab audit
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.reporting.audit_page import run_audit, summary_lines, write_audit
    from switchhead_lab.sweeping.costing import all_counters
    from switchhead_lab.terminal import print_list

    found = run_audit(all_counters())
    paths = write_audit(found, find_workspace().reports_dir)
    print_list(summary_lines(found))
    typer.echo(f"written: {', '.join(map(str, paths))}")
