"""Sections of the page: what each shows, and the template that draws it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Badge:
    """A short mark with a meaning, in words and in colour.

    Attributes:
        kind: Class of its colour: "supported", "refuted", "undecided", "gap" or "none".
        text: Its words.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        id: Anchor, unique on the page.
        title: Heading, and name in the table of contents.
        template: File name of its template, which gets the section as `section`.
        values: What the template shows.
        note: Words beside the title in the table of contents.
        badges: Marks beside it there.
    """

    id: str
    title: str
    template: str
    values: Mapping[str, Any]
    note: str = ""
    badges: tuple[Badge, ...] = ()


def anchor(text: str) -> str:
    """Return text as an anchor: ASCII letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
