"""A strict reader of HTML pages, for tests."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}
LOADING = {"src", "srcset", "data", "poster", "action", "background", "xlink:href"}


@dataclass
class Element:
    """An element with its text."""

    tag: str
    attributes: dict[str, str]
    parents: tuple["Element", ...] = field(repr=False)
    text: str = ""

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def is_in(self, tag: str, **attributes: str) -> bool:
        return any(
            parent.tag == tag and attributes.items() <= parent.attributes.items()
            for parent in self.parents
        )


@dataclass
class Document:
    """The elements of a page in order, and what is wrong with it."""

    elements: list[Element] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def find(self, tag: str, *classes: str) -> list[Element]:
        return [e for e in self.elements if e.tag == tag and {*classes} <= {*e.classes}]

    def by_id(self, name: str) -> Element:
        (found,) = [e for e in self.elements if e.attributes.get("id") == name]
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.document = Document()
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len({*names}):
            self.document.errors.append(f"<{tag}> repeats an attribute")
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self._open))
        self.document.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.document.errors.append(f"</{tag}> closes {[e.tag for e in self._open[-1:]]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def close(self) -> None:
        super().close()
        self.document.errors += [f"<{element.tag}> is not closed" for element in self._open]


def read_html(text: str) -> Document:
    """Read a page; elements that are not balanced are errors of the document."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.document


def problems_of(text: str) -> list[str]:
    """Return what is wrong with a page: balance, ids, links within it, external parts."""
    document = read_html(text)
    problems = list(document.errors)
    ids = [e.attributes["id"] for e in document.elements if "id" in e.attributes]
    problems += [f"id {name} is not unique" for name in {*ids} if ids.count(name) > 1]
    for element in document.elements:
        link = element.attributes.get("href", "")
        if link.startswith("#") and link[1:] not in ids:
            problems.append(f"{link} leads nowhere")
        loads = [element.attributes[name] for name in LOADING & element.attributes.keys()]
        if element.tag != "a" and "href" in element.attributes:
            loads.append(link)
        problems += [f"<{element.tag}> loads {one}" for one in loads if one != "data:,"]
    for sheet in document.find("style"):
        problems += [word for word in ("@import", "url(") if word in sheet.text]
    return problems
