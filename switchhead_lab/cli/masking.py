"""Masking of secrets in error messages, including usage errors."""

import contextlib
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException


def without_secrets(text: str) -> str:
    """Mask passwords and tokens in a text; those of the workspace wherever they appear."""
    from switchhead_lab.config.redaction import mask_passwords
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import LabError

    addresses: tuple[str, ...] = ()
    with contextlib.suppress(LabError):  # outside a workspace, or lab.toml is invalid
        addresses = find_workspace().addresses
    return mask_passwords(text, *addresses)


class MaskingGroup(TyperGroup):
    """Masks secrets in usage errors, which quote the command line."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the command line up to a subcommand."""
        with _masked_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Parse the rest and call the subcommand."""
        with _masked_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _masked_errors() -> Iterator[None]:
    try:
        yield
    except TyperException as error:
        error.message = without_secrets(error.message)
        raise
