"""The matcher against the paper's Table 9 and Sec. 3.5, from the dense rows alone."""

import pytest

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.matching import (
    match_heads,
    match_macs,
    match_parameters,
    match_residual,
)
from switchhead_lab.budget.parameters import attention_parameters, count_parameters
from switchhead_lab.config.architecture import (
    DenseAttention,
    DenseFeedForward,
    ModelConfig,
    SwitchHeadAttention,
    SwitchHeadShape,
)
from switchhead_lab.errors import MatchError

WIDTHS = {47: 412, 262: 1024, 41: 512}


def dense(params: int, n_heads: int, d_head: int, d_ff: int, seq_len: int, n_layers: int):
    return ModelConfig(
        d_model=WIDTHS[params],
        n_layers=n_layers,
        seq_len=seq_len,
        attention=DenseAttention(n_heads=n_heads, d_head=d_head),
        feedforward=DenseFeedForward(d_ff=d_ff),
    )


def blocks(paper_figures: dict):
    """Yield (row of the dense baseline, rows of the models matched to it), Transformer-XL only."""
    for table in paper_figures["hyperparameters"]:
        sizes = {row["params"] for row in table["rows"]}
        for params in sorted(sizes):
            rows = [row for row in table["rows"] if row["params"] == params]
            transformers = [row for row in rows if row["model"] == "transformer"]
            if transformers:
                baseline = max(transformers, key=lambda row: row["n_heads"])
                yield baseline, [row for row in rows if row is not baseline]


def build(row: dict) -> ModelConfig:
    keys = ("params", "n_heads", "d_head", "d_ff")
    return dense(*(row[key] for key in keys), seq_len=row["T"], n_layers=row["n_layers"])


def test_d_head_and_d_ff_of_table_9_follow_from_the_dense_rows(paper_figures) -> None:
    found = []
    for baseline_row, rows in blocks(paper_figures):
        baseline = build(baseline_row)
        for row in rows:
            if row["model"] == "switchhead":
                candidate = SwitchHeadShape(
                    n_heads=row["n_heads"], n_experts=row["n_experts"], top_k=row["k"]
                )
                model = match_parameters(baseline, candidate)
            elif row["model"] == "transformer":
                model = match_heads(baseline, row["n_heads"])
            else:
                continue
            assert model.attention.d_head == row["d_head"], row
            assert abs(model.feedforward.d_ff - row["d_ff"]) <= 6, row
            found.append(row["d_head"])
    assert {76, 112, 132} <= set(found)
    assert len(found) >= 10


def test_every_matched_model_is_within_half_a_percent(paper_figures) -> None:
    for baseline_row, rows in blocks(paper_figures):
        baseline = build(baseline_row)
        for row in rows:
            if "n_experts" in row and row["model"] == "switchhead":
                candidate = SwitchHeadShape(
                    n_heads=row["n_heads"], n_experts=row["n_experts"], top_k=row["k"]
                )
                residual = match_residual(
                    match_parameters(baseline, candidate), baseline, 8000, "published"
                )
                assert -0.005 < residual.parameters_fraction <= 0.0


@pytest.mark.parametrize(
    ("baseline", "candidate", "d_head"),
    [
        (dense(47, 10, 41, 2053, 256, 16), (3, 5, 3), 112),
        (dense(262, 16, 64, 4110, 512, 18), (6, 4, 2), 168),
    ],
)
def test_mac_matched_shapes_of_the_paper(baseline, candidate, d_head) -> None:
    n_heads, n_experts, top_k = candidate
    shape = SwitchHeadShape(n_heads=n_heads, n_experts=n_experts, top_k=top_k)
    model = match_macs(baseline, shape, "published")
    assert model.attention.d_head == d_head
    assert model.feedforward == baseline.feedforward
    wider = model.model_copy(
        update={"attention": model.attention.model_copy(update={"d_head": d_head + 4})}
    )
    budget = attention_macs(baseline, "published")
    assert attention_macs(model, "published") <= budget < attention_macs(wider, "published")


@pytest.mark.parametrize("n_heads", [1, 2, 3, 5, 7, 8])
def test_matched_attention_is_the_widest_that_fits(n_heads: int) -> None:
    baseline = dense(47, 8, 16, 512, 128, 4)

    def total(attention) -> int:
        return sum(attention_parameters(attention, baseline.positions, baseline.d_model).values())

    candidate = SwitchHeadShape(n_heads=n_heads, n_experts=2, top_k=1)
    attention = match_parameters(baseline, candidate).attention
    assert isinstance(attention, SwitchHeadAttention)
    assert attention.d_head % 4 == 0
    wider = attention.model_copy(update={"d_head": attention.d_head + 4})
    assert total(attention) <= total(baseline.attention) < total(wider)
    heads = match_heads(baseline, n_heads)
    wider_heads = heads.attention.model_copy(update={"d_head": heads.attention.d_head + 1})
    assert total(heads.attention) <= total(baseline.attention) < total(wider_heads)
    for model in (match_parameters(baseline, candidate), heads):
        unspent = count_parameters(baseline, 8000).total - count_parameters(model, 8000).total
        assert 0 <= unspent < baseline.n_layers * (2 * baseline.d_model + 1)


def test_what_cannot_be_matched_is_refused_with_advice() -> None:
    baseline = dense(47, 2, 4, 64, 32, 2)
    candidate = SwitchHeadShape(n_heads=4, n_experts=8, top_k=1)
    with pytest.raises(MatchError, match="use fewer heads or experts"):
        match_parameters(baseline, candidate)
    with pytest.raises(MatchError, match="smaller top_k"):
        match_macs(baseline, SwitchHeadShape(n_heads=16, n_experts=8, top_k=8), "equations")
    with pytest.raises(MatchError, match="use fewer heads than 64"):
        match_heads(baseline, 64)
