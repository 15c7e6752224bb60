"""Classification of generated examples, end to end: repeatable, resumable, scored and reported."""

import csv
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import StopAtFour, figures, train

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.model.transformer import build_model
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import select_record
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import read_run
from switchhead_lab.training.checkpoint import load_latest

DATA = {"kind": "listops", "max_depth": 2, "max_length": 12, "n_train": 64, "n_validation": 33}
SWEEP: dict[str, Any] = {
    "name": "lists",
    "size": "tiny",
    "matching": "parameter_matched",
    "objective": {"kind": "classification"},
    "data": {**DATA, "n_test": 21},
    "model": {
        "d_model": 16,
        "n_layers": 1,
        "seq_len": 14,
        "context_multiple": 1,
        "direction": "bidirectional",
    },
    "training": {
        "n_steps": 6,
        "batch_size": 16,
        "micro_batch_size": 8,
        "learning_rate": 3e-3,
        "clip_norm": 0.5,
        "validate_every": 3,
        "checkpoint_every": 2,
        "log_every": 1,
        "precision": "fp32",
    },
    "baseline": {"n_heads": 4, "d_head": 4, "d_ff": 32, "seeds": [0, 1]},
    "models": [
        {"kind": "switchhead", "name": "switchhead", "n_heads": 2, "n_experts": 2, "top_k": 1}
    ],
}


def config_of(attention: dict[str, Any]) -> RunConfig:
    tree = {key: SWEEP[key] for key in ("objective", "data", "model", "training")}
    model = {"attention": attention, "feedforward": {"kind": "dense", "d_ff": 16}}
    return parse(RunConfig, merge_trees(tree, {"model": model}), "test")


DENSE = config_of({"kind": "dense", "n_heads": 2, "d_head": 4})
SPARSE = config_of({"kind": "switchhead", "n_heads": 1, "n_experts": 2, "top_k": 1, "d_head": 4})


@pytest.mark.parametrize("config", [DENSE, SPARSE], ids=["dense", "switchhead"])
def test_a_resumed_run_is_bitwise_identical(workspace, config: RunConfig) -> None:
    whole = train(workspace, config)
    expected = figures(whole)
    whole.directory.rename(whole.directory.parent / ".removed")
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAtFour()])
    continued = train(workspace, config)
    assert figures(continued) == expected
    assert continued.result is not None
    assert continued.result.n_tokens == 6 * 16 * 14


def test_accuracy_is_the_fraction_that_the_last_weights_classify_correctly(workspace) -> None:
    run = train(workspace, SPARSE)
    model = build_model(SPARSE.model, SPARSE.vocab_size, 0, SPARSE.n_outputs).eval()
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    model.load_state_dict({n[6:]: t for n, t in loaded[1].items() if n.startswith("model.")})
    dataset = open_dataset(workspace.data_dir, SPARSE.data)
    assert run.result is not None
    for split, n_examples in (("validation", 33), ("test", 21)):
        examples = dataset.examples(split)
        n_right, loss = 0, 0.0
        with torch.no_grad():
            for tokens, label in zip(examples.tokens, examples.labels, strict=True):
                row = torch.from_numpy(tokens[tokens != 0].astype(np.int64))[None]
                log_p = model(row).logits_BTV[0].mean(dim=0).log_softmax(-1)
                n_right += int(log_p.argmax()) == label
                loss -= float(log_p[int(label)])
        assert len(examples.labels) == n_examples
        result = run.result.model_dump()
        assert result[f"{split}_accuracy"] == n_right / n_examples
        assert result[f"{split}_loss_nats"] == pytest.approx(loss / n_examples, rel=1e-5)
        assert f"{split}_bits_per_byte" not in result


def test_a_sweep_is_compared_by_accuracy(workspace) -> None:
    sweep = parse(Sweep, SWEEP, "test")
    record = run_sweep(workspace, sweep, NoIndex(), lambda text: None)
    assert [member.state for member in record.members] == ["finished"] * 3
    selection = select_record(workspace.runs_dir, "lists", "tiny")
    report = write_report(selection, workspace.runs_dir, workspace.reports_dir)
    assert {"error-vs-attention-macs.png", "error-vs-model-macs.svg"} <= set(report.files)
    assert any("always guessing the most frequent class" in line for line in report.caption)
    with (report.folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        mean = float(row["validation_accuracy_percent_mean"])
        assert 0.0 <= mean <= 100.0
    # The second model has one of the baseline's two seeds, so they are compared over that one.
    of_run = {
        (member.model, member.seed): 100.0
        * read_run(workspace.runs_dir / member.run_name).result.validation["accuracy"]
        for member in record.members
    }
    (model, seed) = next(one for one in of_run if one[0] != "dense")
    expected = of_run[model, seed] - of_run["dense", seed]
    differences = [float(row["validation_accuracy_percent_difference"]) for row in rows]
    assert differences == pytest.approx([0.0, expected])
    page = (report.folder / "report.md").read_text()
    assert "perplexity" not in page
    assert "validation accuracy (%)" in page
