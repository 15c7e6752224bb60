"""Arguments of the commands that use a trained run."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.errors import ConfigError

if TYPE_CHECKING:
    from switchhead_lab.trained.run import Checkpoint

RunArgument = Annotated[
    str, typer.Argument(help="Name of a run, the start of its hash, or its directory.")
]
CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", metavar="STEP", help="Step of a kept checkpoint, or last."),
]


def read_checkpoint(text: str) -> "Checkpoint":
    """Return the value of `--checkpoint`.

    Raises:
        ConfigError: If it is neither a step nor "last".
    """
    if text == "last":
        return "last"
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f'--checkpoint {text!r}: use a step, for example 200, or "last"')
    return int(text)
