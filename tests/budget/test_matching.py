"""The matcher against the paper's Table 9 and Sec. 3.5, from the dense rows alone."""

import pytest

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.matching import match_heads, match_macs, match_parameters
from switchhead_lab.budget.model_costs import count_costs
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.residual import Difference, difference
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.paper.models import model_of
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward
from switchhead_lab.variants.moa import MoaAttention
from switchhead_lab.variants.switchhead import SwitchHeadAttention

COUNTER = closed_form_counter("published")
WIDTHS = {47: 412, 262: 1024, 41: 512}


def dense(params: int, n_heads: int, d_head: int, d_ff: int, seq_len: int, n_layers: int):
    return ModelConfig(
        d_model=WIDTHS[params],
        n_layers=n_layers,
        seq_len=seq_len,
        attention=DenseAttention(n_heads=n_heads, d_head=d_head),
        feedforward=DenseFeedForward(d_ff=d_ff),
    )


def switchhead(**shape: int) -> SwitchHeadAttention:
    return SwitchHeadAttention(**shape, d_head=1)


def blocks(paper_figures: dict):
    """Yield each dense baseline of Table 9 with the rows matched to it."""
    for table in paper_figures["hyperparameters"]:
        groups: dict[tuple, list[dict]] = {}
        for row in table["rows"]:
            key = (row["T"], row["n_layers"], row["model"].endswith("-rope"))
            groups.setdefault(key, []).append(row)
        for rows in groups.values():
            dense_rows = [row for row in rows if row["model"].startswith("transformer")]
            if dense_rows:
                widest = max(dense_rows, key=lambda row: row["n_heads"])
                baseline = model_of(
                    widest["model"], widest["params"], widest["n_heads"], table["datasets"][0]
                )
                yield baseline, [row for row in rows if row is not widest]


def matched(baseline: ModelConfig, row: dict) -> ModelConfig:
    if row["model"].startswith("transformer"):
        return match_heads(baseline, row["n_heads"])
    shape = switchhead(n_heads=row["n_heads"], n_experts=row["n_experts"], top_k=row["k"])
    return match_parameters(baseline, shape)


def parameter_difference(model: ModelConfig, baseline: ModelConfig) -> Difference:
    return difference(*(count_parameters(m, 8000).total for m in (model, baseline)))


def test_d_head_and_d_ff_of_table_9_follow_from_the_dense_rows(paper_figures) -> None:
    found = []
    for baseline, rows in blocks(paper_figures):
        for row in rows:
            model = matched(baseline, row)
            assert model.attention.d_head == row["d_head"], row
            assert abs(model.feedforward.d_ff - row["d_ff"]) <= 6, row
            parameters = parameter_difference(model, baseline)
            assert -0.005 < parameters.fraction <= 0.0
            if row["model"].startswith("switchhead"):
                found.append(row["d_head"])
    assert sorted(found) == [64, 76, 76, 100, 112, 112, 132]


@pytest.mark.parametrize(
    ("baseline", "n_experts", "d_head"),
    [
        (dense(47, 10, 41, 2053, 256, 16), 10, 88),
        (dense(262, 16, 64, 4110, 512, 18), 16, 144),
    ],
)
def test_moa_is_matched_by_the_same_rule(baseline, n_experts, d_head) -> None:
    model = match_parameters(baseline, MoaAttention(n_heads=4, n_experts=n_experts, d_head=1))
    assert model.attention.d_head == d_head
    parameters = parameter_difference(model, baseline)
    assert -0.005 < parameters.fraction <= 0.0


@pytest.mark.parametrize(
    ("baseline", "candidate", "d_head"),
    [
        (dense(47, 10, 41, 2053, 256, 16), (3, 5, 3), 112),
        (dense(262, 16, 64, 4110, 512, 18), (6, 4, 2), 168),
    ],
)
def test_mac_matched_shapes_of_the_paper(baseline, candidate, d_head) -> None:
    n_heads, n_experts, top_k = candidate
    shape = switchhead(n_heads=n_heads, n_experts=n_experts, top_k=top_k)
    model = match_macs(baseline, shape, COUNTER)
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
        return sum(attention.parameter_parts(baseline.layer).values())

    candidate = switchhead(n_heads=n_heads, n_experts=2, top_k=1)
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


@pytest.mark.parametrize("n_heads", [1, 2, 3, 5, 7])
def test_a_head_matched_model_has_the_baselines_parameters(n_heads: int) -> None:
    """Up to one unit of d_ff per layer, for any number of heads."""
    baseline = dense(47, 10, 41, 2053, 256, 16)
    model = match_heads(baseline, n_heads)
    assert model.attention.n_heads == n_heads
    assert model.attention.d_head >= 410 // n_heads
    parameters = parameter_difference(model, baseline)
    assert -16 * (2 * 412 + 1) < parameters.absolute <= 0


def test_the_residual_is_the_difference_to_the_baseline() -> None:
    baseline = dense(47, 10, 41, 2053, 256, 16)
    model = match_macs(baseline, switchhead(n_heads=3, n_experts=5, top_k=3), COUNTER)
    ours, dense_costs = (
        count_costs(m, [COUNTER], 8000, 10, convention="published") for m in (model, baseline)
    )
    base, own = (count_parameters(m, 8000, 10).total for m in (baseline, model))
    parameters = difference(ours.n_parameters, dense_costs.n_parameters)
    assert parameters.absolute == own - base > 0
    assert parameters.fraction == pytest.approx((own - base) / base)
    base, own = (attention_macs(m, "published") for m in (baseline, model))
    macs = difference(ours.macs, dense_costs.macs)
    assert macs.absolute == own - base < 0
    assert macs.fraction == pytest.approx((own - base) / base)
    macs = difference(ours.matched_layer_macs, dense_costs.matched_layer_macs)
    assert macs.absolute == own - base, "the feed-forward block is the baseline's"
    layer = base + 256 * 2 * 412 * 2053
    assert macs.fraction == pytest.approx((own - base) / layer)
