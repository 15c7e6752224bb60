"""The page's templates; the one file that imports Jinja."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from switchhead_lab import __version__
from switchhead_lab.reporting.html.section import Section

_PACKAGE = "switchhead_lab.reporting.html"


def render_page(sections: Sequence[Section], summary: str) -> str:
    """Return the page as one HTML document without external parts.

    Args:
        sections: Its sections in order.
        summary: Sentence below the heading.
    """
    environment = _environment()
    bodies = [
        (section, Markup(environment.get_template(section.template).render(section=section)))
        for section in sections
    ]
    page = environment.get_template("page.html.j2")
    return page.render(
        bodies=bodies,
        summary=summary,
        style=_verbatim("page.css"),
        script=_verbatim("page.js"),
        version=__version__,
    )


def _verbatim(name: str) -> Markup:
    """Return a file of the package without escapes."""
    environment = _environment()
    assert environment.loader is not None, "set below"
    source, _, _ = environment.loader.get_source(environment, name)
    return Markup(source)


def _prose(text: str) -> Markup:
    """Return a sentence with what is between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick, as in a cause of a failure
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_no_none,
    )
    environment.filters["prose"] = _prose
    return environment


def _no_none(value: Any) -> Any:
    assert value is not None, "templates print no missing values"
    return value
