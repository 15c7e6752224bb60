"""The section of a sweep that is compared over several sizes."""

from collections.abc import Mapping, Sequence

from switchhead_lab.errors import LabError
from switchhead_lab.reporting.html.captioned import captioned_tables
from switchhead_lab.reporting.html.runs import Links
from switchhead_lab.reporting.html.section import Section, anchor
from switchhead_lab.reporting.ladder import (
    Ladder,
    ladder_caption,
    ladder_grid,
    law_grid,
    read_ladder,
)
from switchhead_lab.reporting.report_data import ReportData


def ladder_sections(sweeps: Sequence[ReportData], runs: Links) -> list[Section]:
    """Return a section for each sweep with a ladder.

    Args:
        sweeps: Data of all recorded sweeps; of several records of one size, the latest first.
        runs: Runs that cells link to.
    """
    by_name: dict[str, dict[str, ReportData]] = {}
    for data in sweeps:
        sweep = data.record.sweep
        if sweep.ladder:
            by_name.setdefault(sweep.name, {}).setdefault(sweep.size, data)
    return [_section(name, found, runs) for name, found in sorted(by_name.items())]


def _section(name: str, found: Mapping[str, ReportData], runs: Links) -> Section:
    ladder_sizes = next(iter(found.values())).record.sweep.ladder
    place, title = f"ladder-{anchor(name)}", f"{name}, all sizes"
    try:
        ladder = read_ladder(found, ladder_sizes)
    except LabError as error:
        return Section(place, title, "broken.html.j2", {"reason": runs.portable(str(error))})
    return _section_of(ladder, place, title, runs)


def _section_of(ladder: Ladder, place: str, title: str, runs: Links) -> Section:
    n_sizes = len(ladder.sizes)
    section = Section(
        id=place,
        title=title,
        template="tables.html.j2",
        values={"lead": "Loss against training compute."},
        note=f"{n_sizes} of {n_sizes + len(ladder.missing)} sizes",
    )
    return captioned_tables(
        section,
        ladder_caption(ladder),
        [("Models and sizes", ladder_grid(ladder)), ("Power laws", law_grid(ladder))],
        runs,
        missing="sizes or runs missing",
    )
