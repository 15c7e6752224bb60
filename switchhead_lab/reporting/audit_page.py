"""The audit as a page, as CSV, and as a summary for the terminal."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.paper.figures import parse_count
from switchhead_lab.paper.models import PrintedModel, printed_models
from switchhead_lab.reporting.audit import (
    CostLine,
    MatchLine,
    SizeLine,
    cost_lines,
    match_lines,
    size_lines,
    without_memory,
)
from switchhead_lab.reporting.audit_disagreements import (
    Disagreement,
    RatioLine,
    disagreements,
    layer_disagreements,
    ratio_lines,
)
from switchhead_lab.reporting.audit_terms import distinct_models, remainder, terms_of
from switchhead_lab.tracking.atomic import make_directory, write_text

PAGE, TABLE = "audit.md", "audit.csv"
# In table order: the paper's tables, its text, the trained layer.
_ORDER = ("published", "equations", "executed")
_CSV_HEADINGS = ("section", "row", "quantity", "printed", "convention", "value", "agrees")


@dataclass(frozen=True)
class Audit:
    """Everything that was checked.

    Attributes:
        costs: Printed MACs and memory.
        sizes: Printed model sizes.
        matches: Widths of Table 9.
        ratios: Ratios of Table 5.
        tables: Values that two tables print differently for one model.
        layers: Costs printed differently for equal attention layers.
        counters: Counters of the three conventions.
    """

    costs: Sequence[CostLine]
    sizes: Sequence[SizeLine]
    matches: Sequence[MatchLine]
    ratios: Sequence[RatioLine]
    tables: Sequence[Disagreement]
    layers: Sequence[Disagreement]
    counters: Sequence[CostCounter]


def run_audit(counters: Sequence[CostCounter]) -> Audit:
    """Compare the paper's printed figures with its formulas, models and each other.

    Args:
        counters: Counters of the three conventions.
    """
    return Audit(
        costs=list(cost_lines(counters)),
        sizes=list(size_lines()),
        matches=list(match_lines()),
        ratios=list(ratio_lines()),
        tables=list(disagreements()),
        layers=list(layer_disagreements()),
        counters=counters,
    )


def write_audit(audit: Audit, reports_dir: Path) -> list[Path]:
    """Write the audit as a page and as CSV below `reports_dir`; return their paths.

    Raises:
        WorkspaceError: If the folder cannot be written.
    """
    folder = make_directory(reports_dir)
    texts = {PAGE: audit_page(audit), TABLE: audit_csv(audit)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def summary_lines(audit: Audit) -> list[str]:
    """Return what the audit found, one sentence per line."""
    costs, sizes, matches = audit.costs, audit.sizes, audit.matches
    agreeing = {name: sum(line.agrees(name) for line in costs) for name in _ORDER}
    with_memory = sum(line.needs_memory and line.agrees("published") for line in costs)
    same_width = sum(line.d_head == line.printed_d_head for line in matches)
    furthest = max(abs(line.d_ff - line.printed_d_ff) for line in matches)
    return [
        f"Costs: `published` reproduces {agreeing['published']} of {len(costs)} printed figures "
        f"under ordinary rounding, {with_memory} of them only with C = 2, although their table "
        "has no memory.",
        f"`equations`, the formulas in the text, reproduce {agreeing['equations']}; `executed`, "
        f"counted on the layer, {agreeing['executed']}.",
        "SwitchHead's MACs relative to dense depend on the convention: "
        f"{_ratio_range(audit.counters)}{_left_out(audit.counters)}.",
        f"Sizes: {sum(line.agrees for line in sizes)} of {len(sizes)} models have the printed "
        "size.",
        f"Widths: the matching rule gives {same_width} of {len(matches)} printed d_head; d_ff is "
        f"at most {furthest} off.",
        f"Ratios: {sum(line.agrees for line in audit.ratios)} of {len(audit.ratios)} in Table 5 "
        "follow from its own figures.",
        f"Disagreements: {len(audit.tables)} pairs of tables print different values for one "
        f"model, and {len(audit.layers)} pairs of rows different MACs for equal attention layers.",
    ]


def audit_page(audit: Audit) -> str:
    """Return the audit as Markdown; every figure is computed or read from the data file."""
    return "\n".join(
        [
            "# Audit of the paper's printed figures\n",
            "SwitchHead (arXiv:2312.07987). Checked: MACs and memory of Tables 1, 2, 3 and 7, "
            "model sizes, the widths of Table 9, the ratios of Table 5, and values that tables "
            "repeat, Table 6 included. Not checked: measured values. MACs and memory are per "
            "attention layer and sequence, forward. `published` follows the tables, `equations` "
            "the text, and `executed` is counted on the layer as it is trained.\n",
            *(f"- {line}" for line in summary_lines(audit)),
            "",
            *_section("SwitchHead and MoA relative to dense", _relative_rows(audit.counters)),
            *_section("Why the conventions differ", _term_rows(audit.counters), _TERMS_NOTE),
            *_section("Costs", _cost_rows(audit.costs)),
            *_section(
                "Priced with C = 2 although the table has no memory", _memory_rows(audit.costs)
            ),
            *_section("Model sizes", _size_rows(audit.sizes)),
            *_section("Widths of Table 9 from its dense rows", _match_rows(audit.matches)),
            *_section("Ratios of Table 5", _ratio_rows(audit.ratios)),
            *_section("Tables that print different values for one model", _pair_rows(audit.tables)),
            *_section("Equal attention layers, different costs", _pair_rows(audit.layers)),
        ]
    )


def audit_csv(audit: Audit) -> str:
    """Return the audit as CSV, one line per value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADINGS)
    writer.writerows(_csv_rows(audit))
    return text.getvalue()


def _csv_rows(audit: Audit) -> Iterator[tuple[object, ...]]:
    for cost in audit.costs:
        for name in _ORDER:
            yield (
                *("costs", cost.label, cost.quantity, cost.printed),
                *(name, cost.values[name], cost.agrees(name)),
            )
    for printed in distinct_models():
        for term in terms_of(printed.model):
            for name in _ORDER:
                yield "terms", printed.label, term.name, "", name, term.macs[name], ""
    for size in audit.sizes:
        yield "sizes", size.label, "parameters", size.printed, "", size.n_parameters, size.agrees
    for match in audit.matches:
        for quantity, printed_width, width in (
            ("d_head", match.printed_d_head, match.d_head),
            ("d_ff", match.printed_d_ff, match.d_ff),
        ):
            agrees = printed_width == width
            yield "widths", match.label, quantity, printed_width, "", width, agrees
    for ratio in audit.ratios:
        yield (
            *("ratios", ratio.label, ratio.quantity, ratio.printed, ""),
            *(ratio.computed, ratio.agrees),
        )
    for section, pairs in (("tables", audit.tables), ("layers", audit.layers)):
        for pair in pairs:
            yield section, pair.model, "", pair.first, "", pair.second, False


_TERMS_NOTE = (
    "Millions of MACs. The text prices neither SwitchHead's routers nor what the memory costs: its "
    "keys and values are projected again for every chunk. The tables price routers as if one head "
    "had them, and leave the context multiple C out of SwitchHead's projections of distances, but "
    "not out of the baseline's. Neither prices the scores of distances. The layer projects the "
    "C T + 1 distances that occur, not 2 C T."
)


def _term_rows(counters: Sequence[CostCounter]) -> list[list[str]]:
    rows = [["row", "term", *_ORDER]]
    for printed in distinct_models():
        for term in terms_of(printed.model):
            if term.differs:
                values = [f"{term.macs[name] / 1e6:,.1f}" for name in _ORDER]
                rows.append([printed.label, term.name, *values])
        left = {c.convention: remainder(printed.model, c) for c in counters}
        if any(left.values()):
            values = [f"{left[name] / 1e6:,.1f}" for name in _ORDER]
            rows.append([printed.label, "not explained", *values])
    return rows


def _relative_rows(counters: Sequence[CostCounter]) -> list[list[str]]:
    rows = [["row", *_ORDER]]
    for printed, ratios in _ratios(counters):
        remark = "" if without_memory(printed) is None else " (with C = 2, dense with C = 1)"
        rows.append([printed.label + remark, *(f"{100 * ratios[name]:.1f} %" for name in _ORDER)])
    return rows


def _ratios(counters: Sequence[CostCounter]) -> Iterator[tuple[PrintedModel, dict[str, float]]]:
    """Yield each sparse attention layer's MACs relative to the dense baseline of its block."""
    dense: dict[tuple[int, str, int], PrintedModel] = {}
    for printed in printed_models():
        if printed.row["model"].startswith("transformer"):
            dense.setdefault(_block(printed), printed)
    for printed in distinct_models():
        base = dense.get(_block(printed))
        if base is not None and not printed.row["model"].startswith("transformer"):
            yield (
                printed,
                {
                    counter.convention: counter.attention_macs(printed.model)
                    / counter.attention_macs(base.model)
                    for counter in counters
                },
            )


def _block(printed: PrintedModel) -> tuple[int, str, int]:
    return printed.table, printed.dataset, printed.row["params"]


def _ratio_range(counters: Sequence[CostCounter]) -> str:
    """Return the range of SwitchHead's MACs relative to dense, by convention."""
    found = [
        ratios
        for printed, ratios in _ratios(counters)
        if "switchhead" in printed.label and without_memory(printed) is None
    ]
    ranges = []
    for name in _ORDER:
        values = [100 * ratios[name] for ratios in found]
        ranges.append(f"{min(values):.1f} to {max(values):.1f} % by `{name}`")
    return ", ".join(ranges)


def _left_out(counters: Sequence[CostCounter]) -> str:
    """Return the rows that the range leaves out, with their ratios."""
    found = [
        f"{printed.label} ({100 * ratios['published']:.1f} % by `published`)"
        for printed, ratios in _ratios(counters)
        if "switchhead" in printed.label and without_memory(printed) is not None
    ]
    return f"; without {', '.join(found)}, printed with C = 2 beside dense with C = 1" * bool(found)


def _section(title: str, rows: list[list[str]], note: str = "") -> list[str]:
    if len(rows) < 2:
        return []
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| --- " * len(rows[0]) + "|")
    return [f"## {title}\n", *([f"{note}\n"] if note else []), *lines, ""]


def _cost_rows(costs: Iterable[CostLine]) -> list[list[str]]:
    headings = [text for name in _ORDER for text in (name, "")]
    rows = [["row", "quantity", "printed", *headings]]
    for line in costs:
        cells = [line.label, line.quantity, line.printed]
        for name in _ORDER:
            off = line.values[name] / parse_count(line.printed) - 1
            verdict = "agrees" if line.agrees(name) else f"**{100 * off:+.1f} %**"
            cells += [f"{line.values[name]:,}", verdict]
        rows.append(cells)
    return rows


def _memory_rows(costs: Iterable[CostLine]) -> list[list[str]]:
    rows = [["row", "quantity", "printed", "with C = 2", "with C = 1"]]
    for line in costs:
        if line.without_memory is not None:
            values = [f"{line.values['published']:,}", f"{line.without_memory:,}"]
            rows.append([line.label, line.quantity, line.printed, *values])
    return rows


def _size_rows(sizes: Iterable[SizeLine]) -> list[list[str]]:
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


def _match_rows(matches: Iterable[MatchLine]) -> list[list[str]]:
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


def _ratio_rows(ratios: Iterable[RatioLine]) -> list[list[str]]:
    rows = [["row", "quantity", "printed", "from its figures", ""]]
    for line in ratios:
        values = [f"{line.printed:.2f}", f"{line.computed:.4f}", _verdict(line.agrees)]
        rows.append([line.label, line.quantity, *values])
    return rows


def _pair_rows(pairs: Iterable[Disagreement]) -> list[list[str]]:
    rows = [["what", "here", "there"]]
    return rows + [[pair.model, pair.first, pair.second] for pair in pairs]


def _verdict(agrees: bool) -> str:
    return "agrees" if agrees else "**differs**"
