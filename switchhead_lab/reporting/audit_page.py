"""The page of the audit: agreements and differences, with their sizes."""

from collections.abc import Sequence
from pathlib import Path

from switchhead_lab.paper.figures import parse_count
from switchhead_lab.paper.models import printed_models
from switchhead_lab.reporting.audit import (
    CostLine,
    MatchLine,
    SizeLine,
    cost_lines,
    disagreements,
    match_lines,
    size_lines,
    without_memory,
)
from switchhead_lab.tracking.atomic import make_directory, write_text

FILE_NAME = "audit.md"


def write_audit(reports_dir: Path) -> tuple[Path, str]:
    """Write the audit below `reports_dir`; return its path and text.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    text = audit_page()
    path = make_directory(reports_dir) / FILE_NAME
    write_text(path, text)
    return path, text


def audit_page() -> str:
    """Return the audit as Markdown; every figure is computed or read from the data file."""
    costs, sizes, matches = list(cost_lines()), list(size_lines()), list(match_lines())
    return "\n".join(
        [
            "# Audit of the paper's printed figures\n",
            "SwitchHead (arXiv:2312.07987): every printed cost, size and width against its own "
            "formulas and models. MACs and memory are per attention layer and sequence.\n",
            *_summary(costs, sizes, matches),
            *_section("Costs", _cost_rows(costs)),
            *_section("Priced with a memory that the table denies", _memory_rows()),
            *_section("Model sizes", _size_rows(sizes)),
            *_section("Widths of Table 9 from its dense rows", _match_rows(matches)),
            *_section("Tables that print different values for one model", _disagreement_rows()),
        ]
    )


def _summary(
    costs: Sequence[CostLine], sizes: Sequence[SizeLine], matches: Sequence[MatchLine]
) -> list[str]:
    published = sum(line.published_agrees for line in costs)
    equations = sum(line.equations_agree for line in costs)
    same_width = sum(line.d_head == line.printed_d_head for line in matches)
    furthest = max(abs(line.d_ff - line.printed_d_ff) for line in matches)
    return [
        f"- Costs: `published` reproduces {published} of {len(costs)} printed figures, "
        f"`equations` {equations}.",
        f"- Sizes: {sum(line.agrees for line in sizes)} of {len(sizes)} models have the printed "
        "size.",
        f"- Widths: the matching rule gives {same_width} of {len(matches)} printed d_head; d_ff "
        f"is at most {furthest} off.",
        f"- {len(list(disagreements()))} pairs of tables print different values for one model.\n",
    ]


def _section(title: str, rows: list[list[str]]) -> list[str]:
    if len(rows) < 2:
        return []
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| --- " * len(rows[0]) + "|")
    return [f"## {title}\n", *lines, ""]


def _cost_rows(costs: Sequence[CostLine]) -> list[list[str]]:
    rows = [["row", "quantity", "printed", "published", "", "equations", "", "equations off by"]]
    for line in costs:
        difference = line.equations / parse_count(line.printed) - 1
        rows.append(
            [
                line.label,
                line.quantity,
                line.printed,
                f"{line.published:,}",
                _verdict(line.published_agrees),
                f"{line.equations:,}",
                _verdict(line.equations_agree),
                "" if line.equations_agree else f"{100 * difference:+.1f} %",
            ]
        )
    return rows


def _memory_rows() -> list[list[str]]:
    rows = [["row", "printed MACs", "with C = 1", "printed memory", "with C = 1"]]
    for printed in printed_models():
        costs = without_memory(printed)
        if costs is not None:
            macs, floats = costs
            row = printed.row
            rows.append([printed.label, row["macs"], f"{macs:,}", row["mem"], f"{floats:,}"])
    return rows


def _size_rows(sizes: Sequence[SizeLine]) -> list[list[str]]:
    rows = [["row", "printed", "parameters", "", "off by", "why"]]
    for line in sizes:
        off = line.n_parameters / 1e6 - line.printed
        rows.append(
            [
                line.label,
                f"{line.printed}M",
                f"{line.n_parameters:,}",
                _verdict(line.agrees),
                "" if line.agrees else f"{off:+.1f}M",
                line.explanation,
            ]
        )
    return rows


def _match_rows(matches: Sequence[MatchLine]) -> list[list[str]]:
    rows = [["row", "printed d_head", "by the rule", "", "printed d_ff", "by the rule", "off by"]]
    for line in matches:
        rows.append(
            [
                line.label,
                str(line.printed_d_head),
                str(line.d_head),
                _verdict(line.d_head == line.printed_d_head),
                str(line.printed_d_ff),
                str(line.d_ff),
                f"{line.d_ff - line.printed_d_ff:+d}",
            ]
        )
    return rows


def _disagreement_rows() -> list[list[str]]:
    return [
        ["model", "one table", "another"],
        *([line.model, line.first, line.second] for line in disagreements()),
    ]


def _verdict(agrees: bool) -> str:
    return "agrees" if agrees else "**differs**"
