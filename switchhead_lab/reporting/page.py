"""The report as a Markdown page."""

from collections.abc import Sequence
from dataclasses import dataclass

from switchhead_lab.reporting.caption import LOUD
from switchhead_lab.reporting.cost_table import COSTS_CAPTION
from switchhead_lab.reporting.grids import Grid
from switchhead_lab.reporting.quality import Quality
from switchhead_lab.reporting.resources import Resources
from switchhead_lab.reporting.tables import to_markdown
from switchhead_lab.reporting.zero_shot import CAPTION as ZERO_SHOT_CAPTION


@dataclass(frozen=True)
class Page:
    """The contents of a report's page.

    Attributes:
        title: Heading.
        caption: Sentences of the caption.
        table: The main table.
        in_print: The main table with the columns that fit on a page of a paper.
        costs: Costs by every convention.
        paper: The paper's figures beside ours, or None.
        paper_caption: Sentence above it.
        candidates: The candidates of the search, or None.
        figures: Names of the figures, without suffix.
        quality: The quality metric to report.
        paper_quality: The metric to compare with the paper's.
        resources: Time and memory of training steps, one table per machine.
        claims: The claims with their verdicts, or None.
        claims_caption: Sentences below them.
        zero_shot: Accuracies of zero-shot tasks, or None.
    """

    title: str
    caption: Sequence[str]
    table: Grid
    in_print: Grid
    costs: Grid
    paper: Grid | None
    paper_caption: str
    candidates: Grid | None
    figures: tuple[str, ...]
    quality: Quality
    paper_quality: Quality
    resources: tuple[Resources, ...] = ()
    claims: Grid | None = None
    claims_caption: Sequence[str] = ()
    zero_shot: Grid | None = None
    claims_title: str = "Claims"
    costs_title: str = "Costs by every convention"
    paper_title: str = "The paper's values beside ours"
    candidates_title: str = "Candidates of the search"
    zero_shot_title: str = "Zero-shot tasks"
    resources_title: str = "Time and memory of a training step (Table 5)"

    @property
    def grids(self) -> list[Grid]:
        """Every table of the page."""
        resources = [resources.grid for resources in self.resources]
        grids = (
            *(self.claims, self.table, self.costs, self.paper),
            *(self.zero_shot, *resources, self.candidates),
        )
        return [grid for grid in grids if grid is not None]


def table_page(heading: str, grid: Grid, caption: Sequence[str]) -> str:
    """Write one table with its caption as Markdown."""
    return f"# {heading}\n\n{to_markdown(grid)}\n{bulleted(caption)}"


def report_page(page: Page) -> str:
    """Write the whole report as Markdown."""
    parts = [f"# {page.title}\n", bulleted(page.caption)]
    if page.claims is not None:
        parts += [f"## {page.claims_title}\n", to_markdown(page.claims)]
        parts.append(bulleted(page.claims_caption))
    parts += ["## Comparison\n", to_markdown(page.table)]
    parts += [f"## {page.costs_title}\n", f"{COSTS_CAPTION}\n", to_markdown(page.costs)]
    parts.append("## Figures\n")
    parts += [f"![{name.replace('-', ' ')}]({name}.png)\n" for name in page.figures]
    if page.paper is not None:
        parts += [f"## {page.paper_title}\n", f"{page.paper_caption}\n", to_markdown(page.paper)]
    if page.zero_shot is not None:
        parts += [f"## {page.zero_shot_title}\n", f"{ZERO_SHOT_CAPTION}\n"]
        parts.append(to_markdown(page.zero_shot))
    parts += [f"## {page.resources_title}\n"] if page.resources else []
    for resources in page.resources:
        parts += [f"{resources.caption}\n", to_markdown(resources.grid)]
    if page.candidates is not None:
        parts += [f"## {page.candidates_title}\n", to_markdown(page.candidates)]
    parts += [
        "## Files\n",
        "`table.csv` holds every column at full precision, `table.tex` the table for a paper and "
        "`table-notes.tex` its notes, "
        "`provenance.json` the runs behind every cell and the hash of every file.\n",
    ]
    return "\n".join(parts)


def together_page(
    title: str, caption: Sequence[str], table: Grid, costs: Grid, figures: Sequence[str]
) -> str:
    """Write the report of several sweeps as Markdown."""
    parts = [f"# {title}\n", bulleted(caption), "## Comparison\n", to_markdown(table)]
    parts += ["## Costs by every convention\n", to_markdown(costs), "## Figures\n"]
    parts += [f"![{name.replace('-', ' ')}]({name}.png)\n" for name in figures]
    return "\n".join(parts)


def bulleted(sentences: Sequence[str]) -> str:
    """Write sentences as a list, gaps and warnings in bold."""
    lines = [f"**{line}**" if line.startswith(LOUD) else line for line in sentences]
    return "".join(f"- {line}\n" for line in lines)
