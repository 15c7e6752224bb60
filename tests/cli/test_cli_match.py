"""`lab match`: columns, conventions and reasons."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.app import app, main
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.files import parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.model.executed import executed_attention, executed_feedforward
from switchhead_lab.variants.dense_attention import DenseAttention
from switchhead_lab.variants.dense_feedforward import DenseFeedForward

SWEEP = """
name = "tiny"
matching = "mac_matched"
[data]
corpus = "words"
tokenizer = { kind = "byte" }
[model]
d_model = 32
n_layers = 2
seq_len = 16
[training]
n_steps = 4
batch_size = 8
learning_rate = 3e-3
clip_norm = 0.5
validate_every = 2
checkpoint_every = 2
[baseline]
n_heads = 8
d_head = 16
d_ff = 64
[[models]]
kind = "switchhead"
name = "sparse"
n_heads = 2
n_experts = 4
top_k = 2
[[studies]]
model = { kind = "switchhead" }
n_trials = 2
[studies.space]
n_heads = [2, 40]
n_experts = [4]
top_k = [1, 5]
[sizes.small]
"""
SWITCHALL = """
[[models]]
kind = "switchhead"
name = "switchall"
match_over = "d_expert"
n_heads = 2
n_experts = 4
top_k = 2
feedforward = { kind = "sigma_moe", n_experts = 6, top_k = 2 }
"""


@pytest.fixture(autouse=True)
def sweep(workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workspace.root)
    path = workspace.sweeps_dir / "tiny.toml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


def match(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["match", "tiny", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(*arguments: str) -> dict[str, dict]:
    return {row["model"]: row for row in reversed(json.loads(match("--json", *arguments)))}


def test_executed_counts_the_layers_that_are_trained() -> None:
    found = rows("--convention", "executed")
    baseline = ModelConfig(
        d_model=32,
        n_layers=2,
        seq_len=16,
        attention=DenseAttention(n_heads=8, d_head=16),
        feedforward=DenseFeedForward(d_ff=64),
    )
    attention, feedforward = executed_attention(baseline), executed_feedforward(baseline)
    dense = found["dense"]
    assert dense["convention"] == "executed"
    assert dense["attention_macs"] == attention.macs
    assert dense["layer_macs"] == attention.macs + feedforward.macs
    assert dense["attention_memory_floats"] == attention.memory_floats
    printed = "# " + match("--toml", "--convention", "executed").split("# ")[2]
    assert printed.startswith("# sparse (declared)")
    sparse = parse(RunConfig, tomllib.loads(printed), "printed").model
    assert found["sparse"]["attention_macs"] == executed_attention(sparse).macs <= attention.macs
    wider = sparse.attention.model_copy(update={"d_head": sparse.attention.d_head + 4})
    more = executed_attention(sparse.model_copy(update={"attention": wider})).macs
    assert more > attention.macs


def test_the_convention_determines_columns_and_matching() -> None:
    d_head = {
        name: rows("--convention", name)["sparse"]["d_head"]
        for name in ("published", "equations", "executed")
    }
    assert rows()["sparse"]["d_head"] == d_head["published"]
    assert d_head["executed"] < d_head["equations"] < d_head["published"]
    assert "MAC-matched by the executed convention" in match("--convention", "executed")
    assert "MAC-matched by the published convention" in match()


def test_differences_are_absolute_and_relative() -> None:
    found = rows()
    for quantity in ("parameters", "attention_macs", "layer_macs"):
        base, own = found["dense"][quantity], found["sparse"][quantity]
        assert found["sparse"][f"{quantity}_difference"] == own - base
        fraction = found["sparse"][f"{quantity}_difference_fraction"]
        assert fraction == pytest.approx((own - base) / base)
        assert found["dense"][f"{quantity}_difference"] == 0
    sparse = found["sparse"]
    shape, costs = lines_of("sparse")
    assert f"{100 * sparse['parameters_difference_fraction']:+.3f} %" in shape
    for quantity in ("attention_macs", "layer_macs", "model_macs_per_token", "active_parameters"):
        assert f"{100 * sparse[f'{quantity}_ratio']:.1f} %" in costs


def lines_of(model: str) -> list[str]:
    return [line for line in match().splitlines() if line.split()[:1] == [model]]


def test_costs_of_the_whole_model_by_hand() -> None:
    """Two layers of 32 channels, 256 tokens, and the output layer."""
    dense = rows()["dense"]
    # Queries to outputs, scores and values over 32 positions, and the position projection.
    attention = 8 * (4 * 16 * 16 * 32 + 2 * 2 * 16 * 16 * 16 + 2 * 2 * 16 * 16 * 32)
    layer = attention + 2 * 16 * 32 * 64
    assert (dense["attention_macs"], dense["layer_macs"]) == (attention, layer)
    assert dense["output_macs_per_token"] == 32 * 256
    assert dense["model_macs_per_token"] == 2 * layer / 16 + 32 * 256
    assert dense["costs"]["published"]["model_macs"] == 2 * layer + 16 * 32 * 256
    assert dense["active_parameters"] == dense["parameters"] - 255 * 32
    assert set(dense["costs"]) == {"equations", "published"}
    assert set(rows("--convention", "executed")["dense"]["costs"]) == {
        *("equations", "published", "executed"),
    }


def test_models_off_their_budget_are_warned_of(sweep: Path) -> None:
    """d_head goes in steps of 4, which is more than one percent of so small a budget."""
    sparse = rows()["sparse"]
    assert sparse["matched"] == "attention_macs"
    fewer = -100 * sparse["attention_macs_difference_fraction"]
    assert sparse["off_budget"] == f"{fewer:.1f} % fewer attention MACs (published)"
    assert f"WARNING: sparse has {sparse['off_budget']} than the baseline\n" in match()
    assert "of 1 candidates of switchhead are more than 1 % off the budget" in match()
    assert rows()["dense"]["off_budget"] is None
    sweep.write_text(SWEEP.replace("mac_matched", "parameter_matched"), encoding="utf-8")
    assert rows()["sparse"]["matched"] == "parameters"
    assert rows()["sparse"]["off_budget"] is None
    assert "WARNING: sparse" not in match()


def test_layer_macs_are_shown_if_they_were_matched(sweep: Path) -> None:
    sweep.write_text(SWEEP.replace("[[studies]]", SWITCHALL + "[[studies]]"), encoding="utf-8")
    switchall = rows()["switchall"]
    assert switchall["matched_over"] == "d_expert"
    assert switchall["layer_macs_difference"] <= 0 < switchall["d_expert"]
    assert switchall["matched"] == "layer_macs"
    shape, costs = lines_of("switchall")
    assert f"6x{switchall['d_expert']}" in shape
    assert f"{100 * switchall['layer_macs_ratio']:.1f} %" in costs


def test_reasons_are_printed_below_the_table() -> None:
    table = match().replace("\n  ", " ")  # wrapped lines joined
    assert table.count("infeasible: top_k=5 but n_experts=4; use a top_k in 1..4") == 1
    (reason,) = [line for line in table.splitlines() if "n_heads=40" in line]
    assert reason.startswith("infeasible: n_heads=40, n_experts=4, top_k=1: even at d_head=4 ")
    assert "n_heads up to " in reason


def test_tables_fit_a_terminal() -> None:
    assert max(map(len, match().splitlines())) <= 80


def test_an_unknown_convention_is_rejected(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["lab", "match", "tiny", "--convention", "exectued"])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    error = capsys.readouterr().err.replace("\n", " ")
    assert 'convention "exectued" (did you mean "executed"?)' in error
    assert "use equations, published or executed" in error
