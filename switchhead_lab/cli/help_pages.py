"""Help pages that read well at any width: flowing paragraphs, marks of repeatable options."""

from collections.abc import Iterable
from typing import Any

import typer

HELP_NAMES = ("-h", "--help")
_REPEATABLE = "Repeatable."


def tidy_help(command: Any) -> None:
    """Reflow the help of a command and its subcommands, and correct what stands after options.

    Paragraphs of docstrings lose their line breaks, so that they wrap at the terminal's width.
    Flags take no value, so none is shown; options that may be given several times say so.

    Args:
        command: A command or group, as typer builds it.
    """
    command.help = flowing(command.help or "")
    # Created here, since typer creates it later, as a flag with a value.
    help_option = command.get_help_option(typer.Context(command, help_option_names=[*HELP_NAMES]))
    hide_values_of_flags([*command.params, *filter(None, [help_option])])
    for parameter in command.params:
        if getattr(parameter, "multiple", False):
            parameter.help = f"{parameter.help} {_REPEATABLE}"
    for inner in getattr(command, "commands", {}).values():
        tidy_help(inner)


def hide_values_of_flags(parameters: Iterable[Any]) -> None:
    """Let help pages show no type of value after flags."""
    for parameter in parameters:
        if getattr(parameter, "is_bool_flag", False):
            parameter.metavar = ""


def flowing(text: str) -> str:
    """Return a text with one line per paragraph; paragraphs are separated by empty lines."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
