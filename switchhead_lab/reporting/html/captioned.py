"""Sections of a caption and tables, without figures."""

from collections.abc import Sequence
from dataclasses import replace

from switchhead_lab.reporting.caption import LOUD
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.html.runs import Links
from switchhead_lab.reporting.html.section import Badge, Section
from switchhead_lab.reporting.html.tables import html_table, plain_columns


def captioned_tables(
    section: Section,
    caption: Sequence[str],
    tables: Sequence[tuple[str, Grid]],
    runs: Links,
    *,
    missing: str,
    summary: str = "",
) -> Section:
    """Return a section with its tables, notices above them and other sentences below.

    Args:
        section: A section of `tables.html.j2` with only its lead, the sentence above everything.
        caption: Sentences; gaps and warnings become notices.
        tables: Tables with their headings.
        runs: Runs that cells link to.
        missing: What gaps are, for the mark in the table of contents.
        summary: One notice in place of many gaps, which are then listed below the tables.
    """
    lines = [runs.portable(line) for line in caption]
    gaps = [line for line in lines if line.startswith(LOUD[0])]
    warnings = [line for line in lines if line.startswith(LOUD[1])]
    notices = [f"{LOUD[0]}: {summary}"] if gaps and summary else gaps
    values = {
        **section.values,
        "gaps": notices,
        "warnings": warnings,
        "tables": [(label, html_table(label, plain_columns(grid), runs)) for label, grid in tables],
        "facts": [line for line in lines if line not in (*notices, *warnings)],
    }
    badges = (Badge("gap", missing),) if gaps else ()
    return replace(section, values=values, badges=badges)
