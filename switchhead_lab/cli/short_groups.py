"""Groups of commands with a default one: `lab sweep NAME` is `lab sweep run NAME`."""

from typing import Any

from typer.core import TyperGroup


class RunByDefault(TyperGroup):
    """Interprets `lab GROUP NAME` as `lab GROUP run NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Insert `run` unless the first argument is a command or an option."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)
