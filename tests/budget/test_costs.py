"""MACs and memory against every figure that Tables 1 and 2 print for dense and SwitchHead."""

from decimal import Decimal

import pytest

from switchhead_lab.budget.costs import (
    attention_macs,
    attention_memory_floats,
    forward_macs_per_token,
)
from switchhead_lab.config.architecture import (
    DenseAttention,
    DenseFeedForward,
    ModelConfig,
    SwitchHeadAttention,
)

SHAPES = {  # by (data set, size): d_model, seq_len
    47: (412, 256),
    262: (1024, 512),
    41: (512, 512),
}
UNITS = {"M": Decimal(10) ** 6, "G": Decimal(10) ** 9}


def prints_as(value: int, printed: str) -> bool:
    """Tell whether a value rounds to a printed figure; a half may go either way."""
    number, unit = Decimal(printed[:-1]), UNITS[printed[-1]]
    half = Decimal(1).scaleb(int(number.as_tuple().exponent)) / 2
    return abs(Decimal(value) / unit - number) <= half


def hyperparameters(figures: dict, dataset: str, row: dict) -> dict:
    for table in figures["hyperparameters"]:
        for candidate in table["rows"]:
            if dataset in table["datasets"] and all(
                candidate[key] == row[key] for key in ("model", "params", "n_heads")
            ):
                return candidate
    raise AssertionError(f"no hyper-parameters for {row}")


def build(row: dict) -> ModelConfig:
    d_model, seq_len = SHAPES[row["params"]]
    assert seq_len == row["T"]
    shape = {"n_heads": row["n_heads"], "d_head": row["d_head"]}
    attention = (
        SwitchHeadAttention(**shape, n_experts=row["n_experts"], top_k=row["k"])
        if row["model"] == "switchhead"
        else DenseAttention(**shape)
    )
    return ModelConfig(
        d_model=d_model,
        n_layers=row["n_layers"],
        seq_len=seq_len,
        attention=attention,
        feedforward=DenseFeedForward(d_ff=row["d_ff"]),
    )


def test_published_reproduces_tables_1_and_2(paper_figures) -> None:
    n_rows = 0
    for table in paper_figures["table"][:2]:
        for row in table["rows"]:
            if row["model"] == "moa":
                continue
            dataset = row.get("dataset", table.get("dataset"))
            model = build(hyperparameters(paper_figures, dataset, row))
            assert prints_as(attention_macs(model, "published"), row["macs"]), row
            assert prints_as(attention_memory_floats(model, "published"), row["mem"]), row
            n_rows += 1
    assert n_rows == 25


def test_equations_put_the_context_factor_on_switchheads_position_term() -> None:
    """The paper's Eq. 13 gives 200.3M where its tables print 170.4M."""
    model = build(
        {
            "model": "switchhead",
            "params": 47,
            "n_heads": 2,
            "d_head": 76,
            "d_ff": 2080,
            "n_experts": 5,
            "k": 2,
            "T": 256,
            "n_layers": 16,
        }
    )
    T, C, D, H, P, K = 256, 2, 412, 2, 76, 2
    by_hand = H * (2 * T * P * D + 2 * T * K * P * (D + 1) + 2 * C * T**2 * P + 2 * C * T * P * D)
    assert attention_macs(model, "equations") == by_hand
    assert prints_as(by_hand, "200.3M")
    assert attention_memory_floats(model, "equations") == H * (
        4 * T * P + 2 * C * T**2 + 2 * C * T * P
    )


@pytest.mark.parametrize("convention", ["equations", "published"])
def test_dense_is_the_same_in_both_conventions(convention) -> None:
    model = ModelConfig(
        d_model=8,
        n_layers=1,
        seq_len=3,
        attention=DenseAttention(n_heads=2, d_head=5),
        feedforward=DenseFeedForward(d_ff=7),
    )
    T, C, D, H, P = 3, 2, 8, 2, 5
    macs = H * (4 * T * P * D + 2 * C * T * T * P + 2 * C * T * P * D)
    assert attention_macs(model, convention) == macs
    assert forward_macs_per_token(model, 11) == macs / T + 2 * D * 7 + D * 11
