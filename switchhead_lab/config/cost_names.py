"""Names of costs as users write them, such as "model-macs:executed"."""

from typing import Literal, get_args

from switchhead_lab.config.files import near_miss

Convention = Literal["equations", "published", "executed"]
"""Accounting convention of MACs and memory."""
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
WITH_CONVENTION = ("attention-macs", "layer-macs", "model-macs", "attention-memory", "model-memory")
"""Costs that depend on the convention."""
WITHOUT_CONVENTION = ("parameters", "active-parameters")
"""Costs that do not."""


def parse_cost(text: str, where: str, also: tuple[str, ...] = ()) -> tuple[str, str]:
    """Split the name of a cost from its convention; the convention is empty if none is given.

    Args:
        text: Name, optionally with a convention after a colon.
        where: What has the name, for errors, e.g. `axis`.
        also: Further names that would do, for errors.

    Raises:
        ValueError: If cost or convention does not exist, or the cost has no conventions.
    """
    name, colon, convention = text.partition(":")
    names = (*WITH_CONVENTION, *WITHOUT_CONVENTION)
    known = (*names, *also)
    if name not in names:
        raise ValueError(f'{where} "{text}"{near_miss(name, known)}: use {", ".join(known)}')
    if colon and name in WITHOUT_CONVENTION:
        raise ValueError(f'{where} "{text}": {name} are the same by every convention; use {name}')
    if colon and convention not in CONVENTIONS:
        raise ValueError(
            f'{where} "{text}"{near_miss(convention, CONVENTIONS)}: conventions: '
            f"{', '.join(CONVENTIONS)}"
        )
    return name, convention
