"""Arguments and options that several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.errors import ConfigError

if TYPE_CHECKING:
    from switchhead_lab.trained.opened_run import Checkpoint

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WideOption = Annotated[
    bool, typer.Option("--wide", help="Print every column, also where the table exceeds the width.")
]
SweepArgument = Annotated[str, typer.Argument(help="Name of a sweep or path to its file.")]
SizeOption = Annotated[
    str, typer.Option("--size", help="Size declared in the sweep file; its default if omitted.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. training.n_steps=10."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or mps; that of lab.toml by default.")
]
DriftOption = Annotated[
    bool,
    typer.Option(
        "--allow-drift",
        help="Continue runs although code, versions, threads or kernels changed; noted in reports.",
    ),
]
ReuseOption = Annotated[
    bool,
    typer.Option("--reuse", help="Reuse finished runs whose code has changed; noted in reports."),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers", min=1, max=256, help="Processes that share the runs: here, or see --on."
    ),
]
OnOption = Annotated[
    str, typer.Option("--on", metavar="PLACE", help="Where workers run: local, slurm or ray.")
]
ClusterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster",
        metavar="KEY=VALUE",
        help="Override a value of [slurm] or [ray] in lab.toml, e.g. time=04:00:00.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what --on would submit, and submit nothing.")
]
RunArgument = Annotated[
    str,
    typer.Argument(help="Name of a run, the start of its hash, or its directory or export."),
]
CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", metavar="STEP", help="Step of a kept checkpoint, or last."),
]


def read_checkpoint(text: str) -> "Checkpoint":
    """Parse the value of `--checkpoint`.

    Raises:
        ConfigError: If it is neither a step nor "last".
    """
    if text == "last":
        return "last"
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f'--checkpoint {text!r}: use a step, for example 200, or "last"')
    return int(text)
