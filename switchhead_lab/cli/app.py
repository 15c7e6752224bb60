"""The `lab` application: its commands, error messages and exit codes."""

import errno
import os
import sys
from typing import Annotated, Any

import typer

from switchhead_lab import __version__
from switchhead_lab.cli import (
    audit,
    bench,
    budget,
    check_variant,
    data,
    doctor,
    evaluation,
    export,
    generate,
    harness,
    init,
    match,
    report,
    reproduce,
    runs,
    score,
    sweep,
    train,
    ui,
    verify,
    worker,
)
from switchhead_lab.cli.help_pages import HELP_NAMES, hide_values_of_flags, tidy_help
from switchhead_lab.cli.masking import MaskingGroup, without_secrets
from switchhead_lab.cli.ranks import joined_ranks
from switchhead_lab.errors import LabError
from switchhead_lab.terminal import drop_output, prepare_streams, tell
from switchhead_lab.tracking.interruption import interruption

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # typer's exit code for KeyboardInterrupt
# Failed writes of files raise a StorageError instead.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class LabGroup(MaskingGroup):
    """The group of all commands, with tidy help pages."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        tidy_help(self)

    def get_params(self, ctx: Any) -> Any:
        """Return the options, including those for completion, which typer adds last."""
        parameters = super().get_params(ctx)
        hide_values_of_flags(parameters)
        return parameters


app = typer.Typer(
    name="lab",
    cls=LabGroup,
    help="Fair, repeatable comparisons of mixture-of-experts Transformers with dense ones.",
    epilog="Example: lab sweep matched-params --size demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": [*HELP_NAMES]},
)
app.command()(init.init)
app.add_typer(data.app, name="data")
app.command()(match.match)
app.command()(budget.budget)
app.command()(train.train)
app.add_typer(sweep.app, name="sweep")
app.command()(worker.worker)
app.command()(report.report)
app.add_typer(runs.app, name="runs")
app.command()(generate.generate)
app.command()(score.score)
app.add_typer(evaluation.app, name="eval")
app.command(
    "lm-eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(harness.lm_eval)
app.command()(export.export)
app.command()(audit.audit)
app.command()(check_variant.check_variant)
app.command()(ui.ui)
app.add_typer(bench.app, name="bench")
app.command()(reproduce.reproduce)
app.command()(verify.verify)
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"switchhead_lab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Fair, repeatable comparisons of mixture-of-experts Transformers with dense ones."""


def main() -> None:
    """Run `lab`; a user error prints one message without a traceback and exits with 2.

    After signal N it saves a checkpoint, closes the run in progress and exits with 128 + N (Ctrl-C
    130, SIGTERM 143, SIGUSR1 138, SIGHUP 129).
    """
    prepare_streams()
    # Figures go to files; the backend that a notebook sets may be missing here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        with joined_ranks() as runs_command:
            if runs_command:
                app()
    except LabError as error:
        tell(f"error: {without_secrets(str(error))}", "red")
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        drop_output()
        tell(
            f"error: the output cannot be written: {os.strerror(error.errno)}; completed work is "
            "recorded; see `lab runs list`",
            "red",
        )
        sys.exit(EXIT_USER_ERROR)
    except SystemExit as end:  # raised by typer for KeyboardInterrupt
        if end.code != EXIT_INTERRUPTED:
            raise
        if interruption.explanation:
            tell(interruption.explanation, "yellow")
            sys.exit(0)
        name = interruption.requested.name if interruption.requested else "Ctrl-C"
        tell(f"interrupted by {name}; the same command continues", "yellow")
        sys.exit(interruption.exit_code)
