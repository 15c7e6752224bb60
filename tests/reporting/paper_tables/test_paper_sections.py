"""Tables of the paper on the page over all sweeps."""

import pytest
from html_document import Document, problems_of, read_html

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.reporting.html.site import write_site
from switchhead_lab.reporting.selection import recorded_sweeps

PLACE = "paper-table-2"


@pytest.fixture
def document(home, sweeps_dir, fill):
    """The page of a workspace in which one sweep of Table 2 has some runs."""
    fill("paper/table2-wikitext103", {"dense": [20.0], "switchhead": [19.0]})
    lab = find_workspace(home)
    text = write_site(lab, recorded_sweeps(lab.runs_dir)).read_text(encoding="utf-8")
    assert problems_of(text) == []
    return read_html(text)


def test_only_tables_with_sweeps_of_theirs_have_a_section(document: Document) -> None:
    places = [one.attributes["id"] for one in document.find("section")]
    assert [place for place in places if place.startswith("paper-")] == [PLACE]
    assert places[-1] == PLACE


def test_cells_link_to_the_runs_and_gaps_are_loud(document: Document) -> None:
    section = document.by_id(PLACE)
    assert "Table 2 of the paper beside ours, size pocket." in section.text
    notices = [one.text for one in document.find("p", "gap") if one.is_in("section", id=PLACE)]
    assert notices == ["INCOMPLETE: rows or runs are missing; each is listed below the tables."]
    assert "no result for transformer, 2 heads" in section.text
    assert "not run" in section.text
    assert "12.31" in section.text
    inside = [one for one in document.find("a") if one.is_in("section", id=PLACE)]
    linked = [one for one in inside if one.text.startswith("19.00")]
    assert linked
    assert linked[0].attributes["href"].startswith("#r")
