"""The table of `lab match`: the models of a sweep with their budgets."""

from collections.abc import Iterator, Sequence

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.number_text import NOTHING, short_count
from switchhead_lab.sweeping.match_rows import Row
from switchhead_lab.terminal import Table

_COLUMNS = (
    *("model", "role", "heads", "experts", "k", "d_head", "d_ff"),
    *("parameters", "difference", "MACs", "difference"),
)


def match_table(title: str, rows: Sequence[Row]) -> Table:
    """Return the table of `match_rows`.

    MACs are those of attention. Where a model was matched over its feed-forward, and so by the
    whole layer, the MACs of the layer replace memory: both would be too wide.
    """
    shows_layer = any(row.get("matched_by") == "layer" for row in rows)
    last = ("layer", "difference") if shows_layer else ("memory", "x dense")
    cells = [_cells(row, shows_layer=shows_layer) for row in rows]
    return Table(title, (*_COLUMNS, *last), cells, n_text_columns=2)


def sweep_table(sweep: Sweep, convention: str, rows: Sequence[Row]) -> Table:
    """Return the table of a sweep's models, with the rule and the convention in its title."""
    title = (
        f"{sweep.name}, size {sweep.size}: {sweep.matching.replace('_', '-')}, "
        f"MACs and memory by the {convention} convention"
    )
    return match_table(title, rows)


def infeasible_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield why combinations have no model, each reason once."""
    for reason in dict.fromkeys(row["infeasible"] for row in rows if row["infeasible"]):
        yield f"infeasible: {reason}"


def _cells(row: Row, *, shows_layer: bool) -> list[str]:
    head = [
        row["model"],
        row["role"],
        *(
            NOTHING if row[key] is None else str(row[key])
            for key in ("n_heads", "n_experts", "top_k")
        ),
    ]
    if row["infeasible"] is not None:
        return [*head, *[NOTHING] * 2, "infeasible", *[NOTHING] * 5]
    d_expert, n_experts = row["d_expert"], row["feedforward_n_experts"]
    layer = [short_count(row["layer_macs"]), _macs_difference(row, "layer_macs")]
    memory = [
        short_count(row["attention_memory_floats"]),
        f"{row['attention_memory_ratio']:.3f}",
    ]
    return [
        *head,
        str(row["d_head"]),
        str(row["d_ff"]) if d_expert is None else f"{n_experts}x{d_expert}",
        f"{row['parameters']:,}",
        f"{row['parameters_difference']:+,} ({100 * row['parameters_difference_fraction']:+.3f} %)",
        short_count(row["attention_macs"]),
        _macs_difference(row, "attention_macs"),
        *(layer if shows_layer else memory),
    ]


def _macs_difference(row: Row, name: str) -> str:
    difference, fraction = row[f"{name}_difference"], row[f"{name}_difference_fraction"]
    sign = "-" if difference < 0 else "+"
    return f"{sign}{short_count(abs(difference))} ({100 * fraction:+.1f} %)"
