"""The documentation site builds without warnings or a network, and loads nothing external."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from command_line import all_commands
from documents import ROOT, pages

import switchhead_lab

pytestmark = pytest.mark.thorough

# MkDocs in a process that cannot look up any host.
BUILD = """
import runpy, socket, sys
def refuse(*_, **__):
    raise OSError("the build looked up a host")
socket.getaddrinfo = socket.create_connection = refuse
sys.argv = ["mkdocs", "build", "--strict", "--site-dir", sys.argv[1]]
runpy.run_module("mkdocs", run_name="__main__")
"""


@dataclass
class HtmlPage(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    links: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link":
            self.resources.append(values["href"])
        self.resources += [values[name] for name in ("src", "srcset", "data") if name in values]


def read_page(path: Path) -> HtmlPage:
    page = HtmlPage()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # as `make docs` does
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def html(site: Path) -> dict[Path, HtmlPage]:
    return {path: read_page(path) for path in site.rglob("*.html")}


def test_every_document_is_a_page(site: Path) -> None:
    names = [Path(page).stem for page in pages() if page.startswith("docs/")]
    assert [name for name in names if not (site / f"{name}.html").is_file()] == []


def test_links_within_the_site_resolve(html: dict[Path, HtmlPage]) -> None:
    broken = []
    for path, page in html.items():
        for link in (*page.links, *page.resources):
            parts = urlsplit(link)
            # The page of errors is served at any address, so its links start at the site's root.
            if parts.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = html[target].anchors if target in html else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in known):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(site: Path, html: dict[Path, HtmlPage]) -> None:
    for path, page in html.items():
        external = [one for one in page.resources if urlsplit(one).netloc]
        assert external == [], path.name
    for path in site.rglob("*.css"):
        style = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", style) == [], path.name


def test_the_references_have_every_command_and_public_name(html: dict[Path, HtmlPage]) -> None:
    anchors = {path.name: page.anchors for path, page in html.items()}
    commands = {"-".join(["lab", *words]) for words in all_commands()}
    assert commands <= anchors["command-line.html"]
    names = {
        *(f"switchhead_lab.{name}" for name in switchhead_lab.__all__ if name != "__version__"),
        *(f"switchhead_lab.variants.base.{kind}Variant" for kind in ("Attention", "FeedForward")),
        "switchhead_lab.objectives.base.Objective",
        "switchhead_lab.contract.checks.report_variant",
    }
    assert names <= anchors["python.html"]
    for path in ROOT.glob("kernels/*/op.py"):
        operator = f"switchhead_kernels.{path.parent.name}."
        assert any(name.startswith(operator) for name in anchors["python.html"]), operator
