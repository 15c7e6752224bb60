"""`lab check-variant`: whether an attention or feed-forward variant satisfies the contract."""

import contextlib
from typing import Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal_table import print_table

EXIT_BROKEN = 1


def check_variant(
    kind: Annotated[
        str, typer.Argument(help="Kind of the variant as in configurations, also of a plugin.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Check what every variant promises: causality, memory, padding, gradients, counts, costs.

    Small examples are checked on the CPU with both position encodings, in seconds, without
    training. A kind that is both attention and feed-forward is checked as both.

    Exits with 1 if a promise is broken; what is only "missing" is optional.

    Example: lab check-variant switchhead
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import WorkspaceError
    from switchhead_lab.variants import builtin  # noqa: F401 (registers the lab's own)
    from switchhead_lab.variants.registry import variants_of_kind

    with contextlib.suppress(WorkspaceError):  # optional: it may register plugins
        find_workspace(checks_plugins=False)
    variants = variants_of_kind(kind)

    # Deferred: a slow import, so a wrong kind fails fast.
    from switchhead_lab.contract.checks import report_variant
    from switchhead_lab.views.check_variant import report_lines, report_table

    reports = [report_variant(variant) for variant in variants]
    if as_json:
        typer.echo(to_json([asdict(report) for report in reports]))
    else:
        for report in reports:
            print_table(report_table(report))
            for line in report_lines(report):
                typer.echo(line)
    if any(report.is_broken for report in reports):
        raise typer.Exit(EXIT_BROKEN)
