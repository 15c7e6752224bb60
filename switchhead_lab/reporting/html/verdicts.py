"""The verdicts on all claims, which the page begins with."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from switchhead_lab.config.claims import TIME, QualityClaim
from switchhead_lab.reporting.claim_table import StatedClaim, evidence_line
from switchhead_lab.reporting.contents import Contents
from switchhead_lab.reporting.grids import Cell
from switchhead_lab.reporting.html.ranges import Range, draw_range
from switchhead_lab.reporting.html.runs import SweepRuns
from switchhead_lab.reporting.html.section import Badge, Section, anchor
from switchhead_lab.reporting.html.tables import HtmlCell, sort_value


@dataclass(frozen=True)
class PartRow:
    """One part of a claim.

    Attributes:
        name: What it is about.
        statement: What is claimed.
        cells: Estimate, interval and n.
        drawing: The interval beside what is claimed; empty without an estimate.
        has_interval: Whether it is estimated from a sample rather than counted.
        badge: The verdict on it.
    """

    name: str
    statement: str
    cells: tuple[HtmlCell, ...]
    drawing: Markup
    has_interval: bool
    badge: Badge


@dataclass(frozen=True)
class Card:
    """One claim.

    Attributes:
        id: Anchor.
        title: Name of the claim.
        badge: The verdict.
        gaps: Missing runs that it needs, one sentence each.
        parts: Its parts.
        evidence: Seeds, looks and outlook; empty for a claim about costs only.
    """

    id: str
    title: str
    badge: Badge
    gaps: tuple[str, ...]
    parts: tuple[PartRow, ...]
    evidence: str


@dataclass(frozen=True)
class SweepCards:
    """The claims of one sweep.

    Attributes:
        title: Name of the sweep, with its size.
        anchor: Anchor of its section.
        alpha: Error probability in percent, as text.
        cards: Its claims.
    """

    title: str
    anchor: str
    alpha: str
    cards: tuple[Card, ...]


def verdict_section(sweeps: Sequence[SweepCards], silent: Sequence[str]) -> Section:
    """Return the section of all verdicts.

    Args:
        sweeps: Sweeps with claims.
        silent: Names of sweeps without claims.
    """
    values = {"sweeps": [one for one in sweeps if one.cards], "silent": silent}
    return Section("verdicts", "Verdicts", "verdicts.html.j2", values)


def cards_of(contents: Contents, runs: SweepRuns, sweep_anchor: str) -> tuple[Card, ...]:
    """Return the claims of a sweep.

    Args:
        contents: What the sweep's report says.
        runs: Its runs.
        sweep_anchor: Anchor of its section.
    """
    return tuple(_card(contents, stated, runs, sweep_anchor) for stated in contents.claims)


def _card(contents: Contents, stated: StatedClaim, runs: SweepRuns, sweep_anchor: str) -> Card:
    return Card(
        id=f"{sweep_anchor}-claim-{anchor(stated.claim.title)}",
        title=stated.claim.title,
        badge=_badge(stated),
        gaps=stated.gaps,
        parts=tuple(_parts(contents, stated, runs)),
        evidence=evidence_line(stated),
    )


def _badge(stated: StatedClaim) -> Badge:
    kind = stated.verdict.verdict if stated.has_verdict else "none"
    return Badge("gap" if stated.gaps else kind, stated.verdict_text)


def _parts(contents: Contents, stated: StatedClaim, runs: SweepRuns) -> Iterator[PartRow]:
    grid = contents.page.claims
    assert grid is not None, "a sweep with claims has their table"
    rows = [row for row in grid.rows if grid.cell(row, "claim").value == stated.claim.title]
    ranges = list(_ranges(stated))
    for row, shown in zip(rows, ranges, strict=True):
        verdict = grid.cell(row, "part_verdict").text
        is_open = verdict == "undecided" and grid.cell(row, "n").value in (0, 1)
        cells = (grid.cell(row, key) for key in ("estimate", "interval", "n"))
        yield PartRow(
            name=grid.cell(row, "part").text,
            statement=grid.cell(row, "statement").text,
            cells=tuple(_cell(cell, runs) for cell in cells),
            drawing=Markup("") if shown is None else draw_range(shown),
            has_interval=shown is not None and shown.interval is not None,
            badge=Badge("none", "no verdict") if is_open else Badge(verdict, verdict),
        )


def _cell(cell: Cell, runs: SweepRuns) -> HtmlCell:
    return HtmlCell(cell.text, sort_value(cell.value), runs.reference(cell.runs), "")


def _ranges(stated: StatedClaim) -> Iterator[Range | None]:
    """Yield what each part allows, in their order: quality, counted costs, time."""
    claim = stated.claim
    allowed = [] if claim.quality is None else [(_allowed(claim.quality), 0.0)]
    limits = [*claim.counted_costs.values(), *([claim.cost[TIME]] if TIME in claim.cost else [])]
    allowed += [((0.0, limit), 1.0) for limit in limits]
    for (bounds, neutral), found in zip(allowed, stated.verdict.parts, strict=True):
        estimate = found.part.estimate
        yield None if estimate is None else Range(estimate, found.interval, bounds, neutral)


def _allowed(quality: QualityClaim) -> tuple[float, float]:
    match quality.kind:
        case "equivalent":
            return -quality.margin, quality.margin
        case "not_worse":
            return -math.inf, quality.margin
        case "better":
            return -math.inf, -quality.margin
