"""`lab verify`: checks of every hash of records."""

from typing import Annotated

import typer

from switchhead_lab.cli.options import JsonOption
from switchhead_lab.cli.other_hosts import bring_for_checks
from switchhead_lab.errors import RecordError
from switchhead_lab.json_text import to_json

_EXIT_DAMAGED = 1


def verify(
    record: Annotated[
        str,
        typer.Argument(
            metavar="[RUN|SWEEP]",
            help="A run, a sweep with its runs, or the folder of a run or export; all by default.",
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check every hash of recorded runs, and that their files agree with each other.

    Checkpoints, data, plugins, configurations, metrics, results, evaluations, exports and the
    records of sweeps are read; nothing is written, and no code of a record is run. Prints one line
    for each check that fails, with the file and the next step, and a summary.

    Exit codes: 0 all passed, 1 a check failed, 2 a mistake that you can fix.

    Example: lab verify matched-params
    """
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace()
    if faults := bring_for_checks(workspace, record):
        raise RecordError("\n".join(faults))
    # Deferred: slow imports, so a mistake in lab.toml fails fast.
    from switchhead_lab.upkeep.verification import find_targets
    from switchhead_lab.upkeep.verification import verify as verify_targets
    from switchhead_lab.views.verify import (
        failure_lines,
        note_lines,
        summary_line,
        verification_as_data,
    )

    every = []
    for checks in verify_targets(workspace, find_targets(workspace, record)):
        every.append(checks)
        for line in failure_lines(checks) if not as_json else ():
            typer.echo(line)
    if as_json:
        typer.echo(to_json(verification_as_data(every)))
    else:
        for line in (*note_lines(every), summary_line(every)):
            typer.echo(line)
    if any(checks.failures for checks in every):
        raise typer.Exit(_EXIT_DAMAGED)
