"""The audit: the paper's printed figures compared with its own formulas and models.

Everything is computed from the data file of printed figures, the budget and the matcher.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.matching import match_heads, match_parameters
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.paper.figures import (
    Row,
    dataset_of,
    load_figures,
    load_tables,
    prints_as,
)
from switchhead_lab.paper.models import (
    SENTENCEPIECE_VOCAB,
    PrintedModel,
    mac_matched_model,
    model_of,
    printed_models,
)
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention


@dataclass(frozen=True)
class CostLine:
    """A printed cost and its values by the conventions.

    Attributes:
        label: Table, data set, size and model.
        quantity: "MACs" or "memory".
        printed: As printed.
        values: By the conventions: "published" follows the tables, "equations" the text, and
            "executed" is counted on the layer.
        without_memory: By `published` without memory, where the table says that there is none but
            prices it; else None.
    """

    label: str
    quantity: str
    printed: str
    values: dict[str, int]
    without_memory: int | None

    def agrees(self, convention: str) -> bool:
        """Return whether a convention reproduces the printed figure under ordinary rounding."""
        return prints_as(self.values[convention], self.printed)

    @property
    def needs_memory(self) -> bool:
        """Whether `published` reproduces it only with C = 2, although its table has no memory."""
        value = self.without_memory
        return value is not None and not prints_as(value, self.printed)


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


def cost_lines(counters: Sequence[CostCounter]) -> Iterator[CostLine]:
    """Yield every printed MACs and memory figure with the conventions' values."""
    for printed in printed_models():
        costs = {counter.convention: counter.attention(printed.model) for counter in counters}
        denied = without_memory(printed)
        macs = {convention: cost.macs for convention, cost in costs.items()}
        floats = {convention: cost.saved_floats for convention, cost in costs.items()}
        label, row = printed.label, printed.row
        yield CostLine(label, "MACs", row["macs"], macs, denied[0] if denied else None)
        yield CostLine(label, "memory", row["mem"], floats, denied[1] if denied else None)


def size_lines() -> Iterator[SizeLine]:
    """Yield every printed model size with the model's own, once per model."""
    seen = set()
    for printed in printed_models():
        key = (printed.row["model"], printed.row["params"], printed.row["n_heads"], printed.dataset)
        if key not in seen:
            seen.add(key)
            yield _size_line(printed.label, printed.row, printed.model, printed.vocab_size)
    yield from _mac_matched_sizes()
    yield from _printed_widths_of_experts()


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


def _printed_widths_of_experts() -> Iterator[SizeLine]:
    """Yield SwitchAll models with the feed-forward width that Table 9 prints, where it differs."""
    for block in load_figures()["hyperparameters"]:
        for row in block["rows"]:
            if row["model"] != "switchall":
                continue
            model = model_of("switchall", row["params"], row["n_heads"], block["datasets"][0])
            experts = model.feedforward
            assert isinstance(experts, SigmaMoeFeedForward), "SwitchAll has feed-forward experts"
            if row["d_ff"] == experts.width:
                continue
            narrow = experts.model_copy(update={"d_expert": row["d_ff"] // experts.n_experts})
            count = count_parameters(
                model.model_copy(update={"feedforward": narrow}), SENTENCEPIECE_VOCAB
            )
            label = f"Table 9 {row['params']}M switchall d_ff={row['d_ff']}"
            why = f"the printed size needs {experts.n_experts} experts of {experts.d_expert}"
            yield SizeLine(label, row["params"], count.total, f"{why}, d_ff {experts.width}")


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
