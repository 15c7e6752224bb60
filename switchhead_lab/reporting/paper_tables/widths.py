"""Table 9: the printed widths beside those that the matching rule gives, without any run."""

from collections.abc import Iterator
from dataclasses import dataclass

from switchhead_lab.budget.matching import match_parameters, match_size
from switchhead_lab.budget.quantity import parameters_of
from switchhead_lab.budget.sizes import find_size
from switchhead_lab.paper.figures import Row, load_figures
from switchhead_lab.paper.models import model_of
from switchhead_lab.reporting.audit import match_lines
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.paper_tables.view import PaperTable, View
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

NUMBER = 9


@dataclass(frozen=True)
class _Widths:
    """A row of Table 9 and our widths; None for a baseline, which is given.

    Attributes:
        label: Data sets, size, model and heads.
        row: The row as printed.
        d_head: Width of each head by the rule.
        d_ff: Feed-forward width by the rule.
    """

    label: str
    row: Row
    d_head: int | None
    d_ff: int | None


def read_widths() -> PaperTable:
    """Return Table 9 beside the widths that the matcher computes now."""
    columns = (
        Column("row", "row of the paper", is_text=True),
        Column("paper_d_head", "d_head: paper", short="d_head, paper"),
        Column("d_head", "d_head: ours", short="d_head, ours"),
        Column("d_head_difference", "d_head: ours - paper", short="difference"),
        Column("paper_d_ff", "d_ff: paper", short="d_ff, paper"),
        Column("d_ff", "d_ff: ours", short="d_ff, ours"),
        Column("d_ff_difference", "d_ff: ours - paper", short="difference"),
    )
    rows = tuple(_cells(widths) for widths in _all_widths())
    keys = tuple(column.key for column in columns)
    return PaperTable(
        number=NUMBER,
        size="",
        title="Table 9 of the paper beside the matching rule",
        caption=_CAPTION,
        grid=Grid("table", columns, rows),
        views=(View("table", "Widths", keys),),
        terminal=keys,
        incomplete=(),
    )


_CAPTION = (
    "Paper: arXiv:2312.07987, Table 9, as printed. Ours: computed now by the matcher from the "
    "dense baseline of the same data set and size; no run is needed.",
    "The rule: the largest d_head, for SwitchHead a multiple of 4, at which attention has no more "
    "parameters than the baseline's; d_ff takes the rest.",
    "The paper rounded d_ff to a multiplier with two decimals, so it differs from the rule's by up "
    "to 6.",
    "SwitchAll: d_ff is the number of feed-forward experts times their width; ours is the width at "
    "which the layer has no more parameters than the baseline's.",
    "given: the dense baseline, which the rule starts from.",
)


def _all_widths() -> Iterator[_Widths]:
    """Yield every row of the table, in printed order."""
    matched = {line.label: line for line in match_lines()}
    for block in load_figures()["hyperparameters"]:
        for row in block["rows"]:
            label = (
                f"{', '.join(block['datasets'])} {row['params']}M {row['model']} H={row['n_heads']}"
            )
            if label in matched:
                yield _Widths(label, row, matched[label].d_head, matched[label].d_ff)
            elif row["model"] == "switchall":
                yield _Widths(label, row, *_switchall_widths(row, block["datasets"][0]))
            else:
                yield _Widths(label, row, None, None)


def _switchall_widths(row: Row, dataset: str) -> tuple[int, int]:
    """Return d_head and d_ff of a SwitchAll, matched to the dense model of its depth and length."""
    dense = next(
        other
        for block in load_figures()["hyperparameters"]
        for other in block["rows"]
        if dataset in block["datasets"]
        and other["model"] == "transformer"
        and (other["T"], other["n_layers"]) == (row["T"], row["n_layers"])
    )
    baseline = model_of("transformer", dense["params"], dense["n_heads"], dataset)
    shape = {"n_heads": row["n_heads"], "n_experts": row["n_experts"], "top_k": row.get("k", 2)}
    model = match_parameters(baseline, SwitchHeadAttention(**shape, d_head=1))
    experts = model_of("switchall", row["params"], row["n_heads"], dataset).feedforward
    assert isinstance(experts, SigmaMoeFeedForward), "SwitchAll has feed-forward experts"
    model = model.model_copy(update={"feedforward": experts})
    size = find_size(model, "d_expert")
    assert size is not None, "sigma-MoE has a width of its experts"
    model = match_size(size, model, parameters_of("layer"), baseline)
    return model.attention.d_head, model.feedforward.width


def _cells(widths: _Widths) -> tuple[Cell, ...]:
    cells = [Cell(widths.label, widths.label)]
    for printed, ours in (
        (widths.row["d_head"], widths.d_head),
        (widths.row["d_ff"], widths.d_ff),
    ):
        cells.append(Cell(str(printed), printed))
        if ours is None:
            cells += [Cell("given"), Cell(MISSING)]
        else:
            difference = ours - printed
            text = f"{difference:+d}" if difference else "0"
            cells += [Cell(str(ours), ours), Cell(text, difference)]
    return tuple(cells)
