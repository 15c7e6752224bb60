"""The models behind the paper's tables, as configurations.

Sources: SwitchHead (arXiv:2312.07987), Table 9 and Sec. A.5; widths from the released sweeps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from switchhead_lab.budget.matching import match_parameters
from switchhead_lab.config.architecture import AttentionConfig, FeedForwardConfig, ModelConfig
from switchhead_lab.paper.figures import Row, dataset_of, load_figures, load_tables
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.positions import RopePositions, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadAttention

# The paper prints no shape for MoA; these experts, matched, reproduce its printed MACs.
_MOA_EXPERTS = {47: 10, 262: 16}
_SIGMA_MOE_EXPERTS = {47: 16, 259: 32}
_SIGMA_MOE_WIDTH, _SIGMA_MOE_TOP_K = 128, 4
# Models whose size differs between the tables and the hyper-parameters.
_SIZE_OF_HYPERPARAMETERS = {("switchall", 262): 259, ("switchhead-rope", 244): 243}
# A small SwitchAll's k is in a note: 2 on Wikitext 103, 3 elsewhere.
_SWITCHALL_TOP_K = {"wikitext103": 2, "c4": 3, "pes2o": 3}
# Sec. 3.5: printed size to (printed size of the model it grows from, n_heads, d_head).
_MAC_MATCHED = {63: (47, 3, 112), 376: (262, 6, 168), 54: (45, 3, 84), 314: (243, 6, 168)}
VOCAB_SIZES = {"enwik8": 256}
SENTENCEPIECE_VOCAB = 8000


@dataclass(frozen=True)
class PrintedModel:
    """A table row with printed costs, and its model.

    Attributes:
        table: Number of the table.
        row: The row as printed.
        dataset: Data set of the row.
        model: The model, as the paper describes it.
        vocab_size: Its vocabulary.
    """

    table: int
    row: Row
    dataset: str
    model: ModelConfig
    vocab_size: int

    @property
    def label(self) -> str:
        """Name for listings: table, data set, size, model and heads."""
        row = self.row
        return (
            f"Table {self.table} {self.dataset} {row['params']}M {row['model']} H={row['n_heads']}"
        )


def printed_models() -> Iterator[PrintedModel]:
    """Yield every row of the paper that prints MACs and memory, in order (Tables 1, 2, 3, 7)."""
    for table in load_tables():
        for row in table["rows"]:
            if "macs" in row and "mem" in row:
                dataset = dataset_of(row, table)
                yield PrintedModel(
                    table=table["id"],
                    row=row,
                    dataset=dataset,
                    model=model_of(row["model"], row["params"], row["n_heads"], dataset),
                    vocab_size=VOCAB_SIZES.get(dataset, SENTENCEPIECE_VOCAB),
                )


def mac_matched_model(name: str, params: int, dataset: str) -> ModelConfig:
    """Build a MAC-matched SwitchHead of Tables 4 and 8: heads and widths grow, d_ff stays.

    Args:
        name: "switchhead-mac-matched" or "switchhead-rope-mac-matched".
        params: Printed size in millions.
        dataset: Data set of the row.
    """
    smaller, n_heads, d_head = _MAC_MATCHED[params]
    base_name = name.removesuffix("-mac-matched")
    base = hyperparameters(base_name, smaller, dataset=dataset)
    model = model_of(base_name, smaller, base["n_heads"], dataset)
    grown = {"n_heads": n_heads, "d_head": d_head}
    return model.model_copy(update={"attention": model.attention.model_copy(update=grown)})


def baseline_params(row: Row) -> int | None:
    """Return the printed size of a row's dense baseline, in millions; None if not printed.

    A MAC-matched model is larger than its baseline.
    """
    params: int | None = row.get("params")
    if params is None or not row["model"].endswith("-mac-matched"):
        return params
    return _MAC_MATCHED[params][0]


def model_of(name: str, params: int, n_heads: int, dataset: str) -> ModelConfig:
    """Build the model that a row of a table names.

    Args:
        name: The paper's name, e.g. "switchhead-rope".
        params: Printed size in millions.
        n_heads: Attention heads; for MoA, heads that a token picks.
        dataset: Data set, on which some hyper-parameters depend.

    Raises:
        LookupError: If Table 9 has no such model.
    """
    if name == "moa":
        dense = hyperparameters("transformer", params, dataset=dataset)
        baseline = model_of("transformer", params, dense["n_heads"], dataset)
        moa = MoaAttention(n_heads=n_heads, n_experts=_MOA_EXPERTS[params], d_head=1)
        return match_parameters(baseline, moa)
    size = _SIZE_OF_HYPERPARAMETERS.get((name, params), params)
    base = hyperparameters(name, size, n_heads=n_heads, dataset=dataset)
    training = load_figures()["training"]
    kind = "enwik8" if base["n_layers"] == training["n_layers"]["enwik8"] else "small"
    kind = "large" if params > 200 else kind
    return ModelConfig(
        d_model=training["d_model"][kind],
        n_layers=base["n_layers"],
        seq_len=base["T"],
        context_multiple=_context_multiple(name, params),
        positions=RopePositions() if name.endswith("-rope") else TransformerXLPositions(),
        attention=_attention(name, base, n_heads, dataset),
        feedforward=_feedforward(name, base),
    )


def hyperparameters(name: str, params: int, *, n_heads: int = 0, dataset: str) -> Row:
    """Return the row of Table 9 for a model; without `n_heads`, the one with the most heads.

    A dense row that Table 9 lacks is derived from the widest, with the same n_heads * d_head.

    Raises:
        LookupError: If there is none.
    """
    found = [
        row
        for block in load_figures()["hyperparameters"]
        # Table 9 has RoPE models only once, for all data sets.
        if dataset in block["datasets"] or name.endswith("-rope")
        for row in block["rows"]
        if row["model"] == name and row["params"] == params
    ]
    if not found:
        raise LookupError(f"Table 9 has no {name} of {params}M for {dataset}")
    widest = max(found, key=lambda row: row["n_heads"])
    exact = next((row for row in found if row["n_heads"] == n_heads), None)
    if exact is not None or not n_heads:
        return exact or widest
    return {
        **widest,
        "n_heads": n_heads,
        "d_head": widest["n_heads"] * widest["d_head"] // n_heads,
    }


def _attention(name: str, base: Row, n_heads: int, dataset: str) -> AttentionConfig:
    if name.startswith("transformer"):
        return DenseAttention(n_heads=n_heads, d_head=base["d_head"])
    return SwitchHeadAttention(
        n_heads=n_heads,
        d_head=base["d_head"],
        n_experts=base["n_experts"],
        top_k=base.get("k", _SWITCHALL_TOP_K.get(dataset, 2)),
    )


def _feedforward(name: str, base: Row) -> FeedForwardConfig:
    if name != "switchall":
        return _dense_feedforward(base)
    return SigmaMoeFeedForward(
        n_experts=_SIGMA_MOE_EXPERTS[base["params"]],
        d_expert=_SIGMA_MOE_WIDTH,
        top_k=_SIGMA_MOE_TOP_K,
    )


def _dense_feedforward(base: Row) -> DenseFeedForward:
    return DenseFeedForward(d_ff=base["d_ff"])


def _context_multiple(name: str, params: int) -> int:
    """Return the chunks of context. Table 7 has no memory, but counts it for large SwitchHead."""
    has_memory = not name.endswith("-rope") or (params > 200 and name.startswith("switchhead"))
    return 2 if has_memory else 1
