"""Writes the page over all recorded sweeps of a workspace."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.contents import Contents, read_contents
from switchhead_lab.reporting.html.ladders import ladder_sections
from switchhead_lab.reporting.html.names import names_of_sweeps
from switchhead_lab.reporting.html.paper import paper_sections
from switchhead_lab.reporting.html.rendering import render_page
from switchhead_lab.reporting.html.runs import LinksOfAll, SweepRuns
from switchhead_lab.reporting.html.section import Section, anchor
from switchhead_lab.reporting.html.sweeps import sweep_section
from switchhead_lab.reporting.html.verdicts import SweepCards, cards_of, verdict_section
from switchhead_lab.reporting.report_data import ReportData, read_report_data
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.tracking.atomic import make_directory, write_text
from switchhead_lab.tracking.sweep_record import sweep_id

SITE_FILE = "index.html"
# Kinds of verdicts in the sentence below the heading, in order.
_KINDS = (
    ("supported", "supported"),
    ("refuted", "refuted"),
    ("undecided", "undecided"),
    ("none", "with one seed and no verdict"),
    ("gap", "with missing runs"),
)


@dataclass
class _Draft:
    """The page as far as it is made.

    Attributes:
        cards: Claims by sweep.
        silent: Sweeps without claims.
        sections: Sections of the sweeps.
        runs: Runs of each sweep.
        data: Data of each sweep.
        names: Names of the sweeps by their ids.
    """

    runs: list[SweepRuns] = field(default_factory=list)
    data: list[ReportData] = field(default_factory=list)
    cards: list[SweepCards] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_runs(self) -> int:
        """Number of runs listed so far."""
        return self.runs[-1].next_number - 1 if self.runs else 0


def write_site(
    workspace: Workspace,
    selections: Iterable[Selection],
    known: Mapping[str, Contents] | None = None,
) -> Path:
    """Write the page over all recorded sweeps; equal records give equal bytes.

    A sweep that cannot be reported has a section that says why.

    Args:
        workspace: The workspace.
        selections: The records of its sweeps.
        known: Contents of reports that were read before, by the sweep's id.

    Returns:
        Path of the page.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    path = make_directory(workspace.reports_dir) / SITE_FILE
    write_text(path, site_text(workspace, selections, known, with_paper=True))
    return path


def site_text(
    workspace: Workspace,
    selections: Iterable[Selection],
    known: Mapping[str, Contents] | None = None,
    *,
    with_paper: bool = False,
) -> str:
    """Return the page over some recorded sweeps.

    Args:
        workspace: The workspace.
        selections: The records of the sweeps.
        known: Contents of reports that were read before, by the sweep's id.
        with_paper: Whether the page has the paper's tables that the sweeps reproduce.
    """
    selections = sorted(selections, key=_order)
    draft = _Draft(names=names_of_sweeps([one.record.sweep for one in selections]))
    for selection in selections:
        _add_sweep(draft, workspace, selection, known or {})
    links = LinksOfAll(draft.runs)
    sections = [
        verdict_section(draft.cards, draft.silent),
        *draft.sections,
        *ladder_sections(_latest_first(draft.data), links),
        *(paper_sections(workspace, draft.data, links) if with_paper else ()),
    ]
    return render_page(sections, _summary(draft))


def _latest_first(sweeps: Iterable[ReportData]) -> list[ReportData]:
    return sorted(sweeps, key=lambda data: data.record.updated_at, reverse=True)


def _order(selection: Selection) -> tuple[str, str, str]:
    """Return the order of sweeps on the page, which further runs do not change."""
    sweep = selection.record.sweep
    return sweep.name, sweep.size, sweep_id(sweep)


def _add_sweep(
    draft: _Draft, workspace: Workspace, selection: Selection, known: Mapping[str, Contents]
) -> None:
    record = selection.record
    name, place = sweep_id(record.sweep), f"sweep-{anchor(sweep_id(record.sweep))}"
    title = f"{draft.names[name]}, size {record.sweep.size}"
    try:
        contents = _contents(workspace, selection, known.get(name))
    except LabError as error:
        draft.sections.append(_broken(place, title, str(error), workspace))
        return
    runs = SweepRuns(contents.data, workspace, draft.n_runs + 1)
    draft.runs.append(runs)
    draft.data.append(contents.data)
    cards = cards_of(contents, runs, place)
    draft.sections.append(sweep_section(contents, runs, cards, place, draft.names[name]))
    if cards:
        alpha = f"{100 * contents.claims[0].claim.alpha:g}"
        draft.cards.append(SweepCards(title, place, alpha, cards))
    else:
        draft.silent.append(title)


def _contents(workspace: Workspace, selection: Selection, known: Contents | None) -> Contents:
    """Return what a sweep's report says with the default figures and columns."""
    if known is not None and known.is_default and known.notes == selection.notes:
        return known
    folders = (workspace.runs_dir, workspace.sweeps_dir)
    data = known.data if known else read_report_data(selection.record, *folders)
    return read_contents(data, workspace.reports_dir, selection.notes)


def _broken(place: str, title: str, reason: str, workspace: Workspace) -> Section:
    """Return the section of a sweep that cannot be reported."""
    values = {"reason": reason.replace(f"{workspace.root}/", "")}
    return Section(place, title, "broken.html.j2", values)


def _summary(draft: _Draft) -> str:
    """Return the sentence below the heading."""
    verdicts = Counter(card.badge.kind for sweep in draft.cards for card in sweep.cards)
    n_sweeps, n_claims = len(draft.sections), sum(verdicts.values())
    counts = ", ".join(f"{verdicts[kind]} {words}" for kind, words in _KINDS if verdicts[kind])
    claims = f"{_count(n_claims, 'claim')}: {counts}" if n_claims else "no claims yet"
    return f"{_count(n_sweeps, 'sweep')}, {_count(draft.n_runs, 'run')}. {claims}."


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
