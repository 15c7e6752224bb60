"""The audit: the paper's printed figures compared with its own formulas and models.

Everything is computed from the data file of printed figures, the budget and the matcher.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.matching import match_heads, match_parameters
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.paper.figures import (
    Row,
    dataset_of,
    load_figures,
    load_tables,
    parse_count,
    prints_as,
)
from switchhead_lab.paper.models import (
    SENTENCEPIECE_VOCAB,
    PrintedModel,
    mac_matched_model,
    model_of,
    printed_models,
)
from switchhead_lab.variants.switchhead import SwitchHeadAttention


@dataclass(frozen=True)
class CostLine:
    """A printed cost and its values by the conventions.

    Attributes:
        label: Table, data set, size and model.
        quantity: "MACs" or "memory".
        printed: As printed.
        published: By the convention that reproduces the tables.
        equations: By the formulas in the text.
    """

    label: str
    quantity: str
    printed: str
    published: int
    equations: int

    @property
    def published_agrees(self) -> bool:
        """Whether `published` reproduces the printed figure."""
        return prints_as(self.published, self.printed)

    @property
    def equations_agree(self) -> bool:
        """Whether the paper's own formulas reproduce the printed figure."""
        return prints_as(self.equations, self.printed)


@dataclass(frozen=True)
class SizeLine:
    """A printed model size and the parameters of that model.

    Attributes:
        label: Table, data set, size and model.
        printed: Millions of parameters, as printed.
        n_parameters: Parameters of the model with the printed shape.
        explanation: Possible origin of the printed size; empty if it agrees.
    """

    label: str
    printed: int
    n_parameters: int
    explanation: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the model rounds to the printed size."""
        return round(self.n_parameters / 1e6) == self.printed


@dataclass(frozen=True)
class MatchLine:
    """A row of Table 9 and the widths that the matching rule gives for its dense baseline.

    Attributes:
        label: Data set, size and model.
        printed_d_head: Width of each head, as printed.
        d_head: By the rule.
        printed_d_ff: Feed-forward width, as printed.
        d_ff: By the rule.
    """

    label: str
    printed_d_head: int
    d_head: int
    printed_d_ff: int
    d_ff: int


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


def cost_lines() -> Iterator[CostLine]:
    """Yield every printed MACs and memory figure with the conventions' values."""
    for printed in printed_models():
        for quantity, key, count in (
            ("MACs", "macs", attention_macs),
            ("memory", "mem", attention_memory_floats),
        ):
            yield CostLine(
                printed.label,
                quantity,
                printed.row[key],
                count(printed.model, "published"),
                count(printed.model, "equations"),
            )


def size_lines() -> Iterator[SizeLine]:
    """Yield every printed model size with the model's own, once per model."""
    seen = set()
    for printed in printed_models():
        key = (printed.row["model"], printed.row["params"], printed.row["n_heads"], printed.dataset)
        if key not in seen:
            seen.add(key)
            yield _size_line(printed.label, printed.row, printed.model, printed.vocab_size)
    yield from _mac_matched_sizes()


def match_lines() -> Iterator[MatchLine]:
    """Yield every row of Table 9 that follows from a dense baseline by the matching rule."""
    for block in load_figures()["hyperparameters"]:
        groups: dict[tuple[int, int, bool], list[Row]] = {}
        for row in block["rows"]:
            key = (row["T"], row["n_layers"], row["model"].endswith("-rope"))
            groups.setdefault(key, []).append(row)
        for rows in groups.values():
            dense = [row for row in rows if row["model"].startswith("transformer")]
            if dense:
                yield from _matched(rows, max(dense, key=lambda row: row["n_heads"]), block)


def disagreements() -> Iterator[Disagreement]:
    """Yield each pair of tables that print different values for one model and quantity."""
    printed: dict[tuple[str, int, str], list[tuple[int, Row]]] = {}
    for table in load_tables():
        for row in table["rows"]:
            name = _canonical_name(row)
            if "params" in row and name:
                key = (dataset_of(row, table), _size(row), name)
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


def without_memory(printed: PrintedModel) -> tuple[int, int] | None:
    """Return MACs and memory of a model without the memory its table prices it with; else None."""
    is_priced_with_memory = printed.table == 7 and printed.model.context_multiple > 1
    if not is_priced_with_memory:
        return None
    model = printed.model.model_copy(update={"context_multiple": 1})
    return attention_macs(model, "published"), attention_memory_floats(model, "published")


def _mac_matched_sizes() -> Iterator[SizeLine]:
    for table in load_tables():
        for row in table["rows"]:
            if row["model"].endswith("-mac-matched"):
                dataset = dataset_of(row, table)
                model = mac_matched_model(row["model"], row["params"], dataset)
                label = f"Table {table['id']} {dataset} {row['params']}M {row['model']}"
                yield _size_line(label, row, model, SENTENCEPIECE_VOCAB)


def _size_line(label: str, row: Row, model: ModelConfig, vocab_size: int) -> SizeLine:
    """Compare a printed size with its model; if they differ, look for its origin."""
    line = SizeLine(label, row["params"], count_parameters(model, vocab_size).total)
    if line.agrees:
        return line
    named = {
        other["params"]
        for block in load_figures()["hyperparameters"]
        for other in block["rows"]
        if other["model"] == row["model"] and other["params"] != row["params"]
    }
    own = round(line.n_parameters / 1e6)
    if own in named:
        return replace(line, explanation=f"Table 9 calls it {own}M; printed is the baseline's size")
    widths = [
        d_head
        for d_head in range(1, model.attention.d_head + 1)
        if round(_size_at(model, d_head, vocab_size) / 1e6) == row["params"]
    ]
    shown = ", ".join(map(str, widths))
    return replace(line, explanation=f"d_head {shown} would give it" if widths else "not found")


def _size_at(model: ModelConfig, d_head: int, vocab_size: int) -> int:
    attention = model.attention.model_copy(update={"d_head": d_head})
    return count_parameters(model.model_copy(update={"attention": attention}), vocab_size).total


def _canonical_name(row: Row) -> str:
    """Return a row's model under the same name in every table; empty if it is not given.

    Dense rows without heads (Tables 4 and 8) are the baseline, with the most heads.
    """
    name, heads = str(row["model"]), row.get("n_heads")
    if name.startswith("transformer"):
        return f"{name} H={heads}" if heads in (2, 4) else name
    return f"{name} H={heads}" if name == "moa" else name


def _size(row: Row) -> int:
    """Return the printed size; 243 and 244 are one model."""
    return 244 if row["params"] == 243 else int(row["params"])


def _differ(first: Row, second: Row, quantity: str) -> bool:
    """Return whether two rows print different values; different precision does not count."""
    if quantity not in first or quantity not in second:
        return False
    a, b = first[quantity], second[quantity]
    if not isinstance(a, str):
        return bool(a != b)
    return not (prints_as(parse_count(a), b) or prints_as(parse_count(b), a))


def _matched(rows: list[Row], widest: Row, block: Row) -> Iterator[MatchLine]:
    dataset = block["datasets"][0]
    baseline = model_of(widest["model"], widest["params"], widest["n_heads"], dataset)
    for row in rows:
        if row is widest:
            continue
        if row["model"].startswith("transformer"):
            model = match_heads(baseline, row["n_heads"])
        else:
            shape = {"n_heads": row["n_heads"], "n_experts": row["n_experts"], "top_k": row["k"]}
            model = match_parameters(baseline, SwitchHeadAttention(**shape, d_head=1))
        label = f"{', '.join(block['datasets'])} {row['params']}M {row['model']} H={row['n_heads']}"
        d_ff = model.feedforward.width
        yield MatchLine(label, row["d_head"], model.attention.d_head, row["d_ff"], d_ff)
