"""Values that the paper prints twice, differently, and ratios that its figures do not give."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from switchhead_lab.paper.figures import Row, dataset_of, load_tables, parse_count, prints_as
from switchhead_lab.paper.models import PrintedModel, printed_models

# Projections with experts in every table but Table 6, which varies them.
_PAPERS_EXPERTS = "VO"


@dataclass(frozen=True)
class Disagreement:
    """Two tables that print different values for one model.

    Attributes:
        model: Data set, size, model and quantity.
        first: Table and value.
        second: Table and value.
    """

    model: str
    first: str
    second: str


@dataclass(frozen=True)
class RatioLine:
    """A printed ratio and the one that the printed figures give.

    Attributes:
        label: Table, size and model.
        quantity: "relative time" or "relative memory".
        printed: As printed, with two decimals.
        computed: From the printed figures.
    """

    label: str
    quantity: str
    printed: float
    computed: float

    @property
    def agrees(self) -> bool:
        """Whether the computed ratio rounds to the printed one."""
        return prints_as(self.computed, f"{self.printed:.2f}")


def disagreements() -> Iterator[Disagreement]:
    """Yield each pair of tables that print different values for one model and quantity."""
    printed: dict[tuple[str, int, str], list[tuple[int, Row]]] = {}
    for table in load_tables():
        for row in table["rows"]:
            name = _canonical_name(row)
            size = _size(row, table)
            if size and name:
                key = (dataset_of(row, table), size, name)
                printed.setdefault(key, []).append((table["id"], row))
    for (dataset, size, name), rows in printed.items():
        for (first_id, first), (second_id, second) in combinations(rows, 2):
            if first_id == second_id:
                continue
            for quantity in ("ppl", "bpc", "macs", "mem"):
                if _differ(first, second, quantity):
                    yield Disagreement(
                        f"{dataset} {size}M {name}, {quantity}",
                        f"Table {first_id}: {first[quantity]}",
                        f"Table {second_id}: {second[quantity]}",
                    )


def layer_disagreements() -> Iterator[Disagreement]:
    """Yield pairs of rows whose attention layers are equal and whose printed costs are not."""
    layers: dict[str, list[PrintedModel]] = {}
    for printed in printed_models():
        layer = printed.model.model_dump_json(exclude={"n_layers", "feedforward"})
        layers.setdefault(layer, []).append(printed)
    for rows in layers.values():
        for first, second in combinations(rows, 2):
            for quantity in ("macs", "mem"):
                if first.row["model"] != second.row["model"] and _differ(
                    first.row, second.row, quantity
                ):
                    yield Disagreement(
                        f"attention of {first.row['model']} and {second.row['model']}, {quantity}",
                        f"{first.label}: {first.row[quantity]}",
                        f"{second.label}: {second.row[quantity]}",
                    )


def ratio_lines() -> Iterator[RatioLine]:
    """Yield the relative times and memory of Table 5, and those that its own figures give."""
    (table,) = [table for table in load_tables() if table["id"] == 5]
    dense = {row["params"]: row for row in table["rows"] if row["model"] == "transformer"}
    for row in table["rows"]:
        if row["model"] == "transformer":
            continue
        base, label = dense[row["params"]], f"Table 5 {row['params']}M {row['model']}"
        time = row["ms_per_iteration"] / base["ms_per_iteration"]
        memory = parse_count(row["ram_per_gpu"]) / parse_count(base["ram_per_gpu"])
        yield RatioLine(label, "relative time", row["relative_time"], time)
        yield RatioLine(label, "relative memory", row["relative_memory"], memory)


def _canonical_name(row: Row) -> str:
    """Return a row's model under the same name in every table; empty if it is not given.

    Dense rows without heads (Tables 4 and 8) are the baseline, with the most heads.
    """
    name, heads = str(row["model"]), row.get("n_heads")
    if name.startswith("transformer"):
        return f"{name} H={heads}" if heads in (2, 4) else name
    if row.get("experts", _PAPERS_EXPERTS) != _PAPERS_EXPERTS:
        return f"{name} {row['experts']}"
    return f"{name} H={heads}" if name == "moa" else name


def _size(row: Row, table: Row) -> int:
    """Return the printed size, 0 if there is none; 243 and 244 are one model."""
    size = int(row.get("params", table.get("size_in_text", 0)))
    return 244 if size == 243 else size


def _differ(first: Row, second: Row, quantity: str) -> bool:
    """Return whether two rows print different values; different precision does not count."""
    if quantity not in first or quantity not in second:
        return False
    a, b = first[quantity], second[quantity]
    if not isinstance(a, str):
        return bool(a != b)
    return not (prints_as(parse_count(a), b) or prints_as(parse_count(b), a))
