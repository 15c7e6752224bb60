import json

import pandas as pd
import pytest
from tiny_sweep import SWEEP

import switchhead_lab
from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.trained.table import columns


def test_an_empty_workspace_has_an_empty_table(workspace, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    table = switchhead_lab.runs(n_heads=2)
    assert table.empty
    assert tuple(table.columns) == columns()


def test_every_run_has_a_row_with_its_figures(train) -> None:
    dense, sparse = train("dense"), train("switchhead", name="sparse")
    table = switchhead_lab.runs()
    assert list(table["run"]) == [dense.name, sparse.name]
    row = table.iloc[1]
    assert (row["model"], row["seed"], row["state"], row["step"]) == ("sparse", 0, "finished", 6)
    assert (row["n_heads"], row["n_experts"], row["top_k"]) == (2, 3, 2)
    assert row["n_parameters"] == sparse.record.result.n_parameters
    assert row["attention_macs"] == attention_macs(sparse.config.model, "published")
    assert row["n_active_parameters"] < row["n_parameters"]
    outputs = sparse.config.model.d_model * sparse.config.n_outputs
    layer = closed_form_counter("published").layer_macs(sparse.config.model)
    assert row["model_macs_per_token"] == outputs + row["n_layers"] * layer / row["seq_len"]
    losses = sparse.metrics["validation/loss_nats"]
    assert row["best_validation_loss_nats"] == losses.min()
    assert row["validation_perplexity"] == sparse.record.result.validation["perplexity"]
    assert pd.isna(table["n_experts"].iloc[0])
    assert pd.isna(row["validation_accuracy"])


def test_the_best_accuracy_is_the_highest_and_the_best_loss_the_lowest(classifier) -> None:
    (point,) = (p for p in classifier.record.metrics() if "validation/accuracy" in p.metrics)
    path = classifier.record.directory / "metrics.jsonl"
    lines = [
        json.dumps(
            {
                "step": step,
                "tokens": step,
                "time": point.time + step,
                "metrics": {"validation/loss_nats": loss, "validation/accuracy": accuracy},
            }
        )
        for step, loss, accuracy in ((3, 0.5, 0.75), (4, 0.25, 0.5))
    ]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    row = switchhead_lab.runs().iloc[0]
    assert point.metrics["validation/accuracy"] < 0.75
    assert row["best_validation_accuracy"] == 0.75
    assert row["best_validation_loss_nats"] == 0.25


def test_filters_keep_equal_rows(train) -> None:
    names = [train("dense").name, train("switchhead", name="sparse").name]
    assert list(switchhead_lab.runs(model="sparse")["run"]) == names[1:]
    assert list(switchhead_lab.runs(n_experts=None)["run"]) == names[:1]
    assert list(switchhead_lab.runs(n_experts=3, seed=0)["run"]) == names[1:]
    assert list(switchhead_lab.runs(state="finished")["run"]) == names
    assert switchhead_lab.runs(state="failed").empty
    assert list(switchhead_lab.runs(n_heads=2).index) == [0]


def test_unknown_filters_are_rejected(train) -> None:
    train()
    with pytest.raises(ConfigError, match=r'no column "n_head" \(did you mean "n_heads"\?\)'):
        switchhead_lab.runs(n_head=2)
    with pytest.raises(ConfigError, match=r"seed = \[0, 1\]: give one value"):
        switchhead_lab.runs(seed=[0, 1])
    with pytest.raises(RecordError, match='no state "done"'):
        switchhead_lab.runs(state="done")
    with pytest.raises(RecordError, match='no runs of a sweep "nothing"'):
        switchhead_lab.runs(sweep="nothing")


def test_a_damaged_run_is_skipped_with_a_warning(train, capfd) -> None:
    names = [train("dense").name, train("switchhead").name]
    (train("dense").record.directory / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    assert list(switchhead_lab.runs()["run"]) == names[1:]
    assert "warning: skipped: " in capfd.readouterr().err


def test_a_sweep_is_a_table_with_roles(workspace, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    (workspace.sweeps_dir / "tiny.toml").write_text(
        SWEEP.replace("n_trials = 2", "n_trials = 1") + "[sizes.large]\nbaseline.d_ff = 48\n",
        encoding="utf-8",
    )
    file = find_sweep(workspace.sweeps_dir, "tiny")
    for size in ("small", "large"):
        record = run_sweep(workspace, file.resolve(size), NoIndex(), lambda text: None)
    table = switchhead_lab.sweep("tiny")
    assert set(table["size"]) == {"large"}
    assert set(table["run"]) == {member.run_name for member in record.members}
    assert list(table["run"]) == sorted(table["run"])
    roles = dict(zip(table["model"], table["role"], strict=True))
    assert (roles["dense"], roles["two-heads"]) == ("baseline", "declared")
    assert set(table["role"]) <= {"baseline", "declared", "best", "candidate"}
    small = switchhead_lab.sweep("tiny", size="small")
    assert set(small["size"]) == {"small"}
    assert set(switchhead_lab.runs(sweep="tiny")["run"]) == {*small["run"], *table["run"]}
    # A deleted run keeps its row.
    gone = table["run"].iloc[0]
    (workspace.runs_dir / gone).rename(workspace.root / "elsewhere")
    row = switchhead_lab.sweep("tiny", "large").set_index("run").loc[gone]
    assert (row["state"], row["reason"]) == ("missing", "no run directory")
    assert pd.isna(row["n_parameters"])
    with pytest.raises(RecordError, match="recorded sizes: large, small"):
        switchhead_lab.sweep("tiny", size="huge")
