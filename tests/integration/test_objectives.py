"""An objective from a plugin works like a built-in one, without changes to the package."""

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import StopAtFour, figures, train

from switchhead_lab.benchmark.step import RandomBatches
from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.batches import IGNORE, Batch
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.run_summary import summarise_run
from switchhead_lab.training.scoring import build_scorer
from switchhead_lab.views.run_list import run_table

PLUGIN = Path(__file__).parents[1] / "plugins" / "masked_language.py"
MASKED = {
    "objective": {"kind": "masked_language_model"},
    "model": {"context_multiple": 1, "direction": "bidirectional"},
}


@pytest.fixture(autouse=True)
def opened(workspace) -> Workspace:
    """A workspace with the plugin."""
    shutil.copy(PLUGIN, workspace.root)
    text = f'tracking_uri = "none"\ndevice = "cpu"\nplugins = {json.dumps([PLUGIN.name])}\n'
    (workspace.root / "lab.toml").write_text(text)
    return find_workspace(workspace.root, environment={})


def masked(config: RunConfig, **changes: Any) -> RunConfig:
    tree = merge_trees(config.model_dump(mode="json"), MASKED)
    return parse(RunConfig, merge_trees(tree, changes), "test")


def prepared(config: RunConfig, batches, draws) -> list[Batch]:
    scorer = build_scorer(config)
    return [scorer.prepare(batch, draw) for batch, draw in zip(batches, draws, strict=True)]


def test_its_run_learns_and_records_its_metrics(opened, tiny_config) -> None:
    run = train(opened, masked(tiny_config(n_steps=60, validate_every=30), model={"n_layers": 1}))
    points = [p.metrics for p in run.metrics() if "validation/loss_nats" in p.metrics]
    first, last = (point["validation/loss_nats"] for point in points)
    assert last < first < math.log(256)
    for name in ("perplexity", "accuracy", "doubt"):
        assert points[-1][f"validation/{name}"] == run.result.validation[name]
    written = json.loads((run.directory / "result.json").read_text())
    assert written["test_doubt"] == run.result.test["doubt"]
    summary = summarise_run(run)
    accuracy = f"acc. {100 * run.result.validation['accuracy']:.1f} %"
    assert accuracy in run_table(run.directory, [summary]).rows[0]
    assert summary.as_data()["validation_doubt"] == run.result.validation["doubt"]
    assert summary.as_data()["validation_bits_per_byte"] is None
    assert (run.directory / "plugins" / PLUGIN.name).read_bytes() == PLUGIN.read_bytes()


def test_the_mask_is_a_separate_token_that_is_never_predicted(tiny_config) -> None:
    config = masked(tiny_config())
    assert (config.vocab_size, config.n_outputs) == (257, 256)


def test_masks_differ_between_steps_and_seeds(opened, tiny_config) -> None:
    config = masked(tiny_config())
    draws = [config.objective.training_draw(seed, step) for seed in (0, 1) for step in (0, 1)]
    assert len(set(draws)) == 4
    batch = open_dataset(opened.data_dir, config.data).training_batches(4, 16, 0).at(0)
    rows = prepared(config, [batch] * 4, draws)
    patterns = {(row.targets == IGNORE).tobytes() for row in rows}
    assert len(patterns) == 4
    # The same number in every batch, so that a captured step can be replayed.
    assert {row.n_targets for row in rows} == {4 * 4}
    for row in rows:
        is_hidden = row.targets != IGNORE
        assert (row.inputs_BT[is_hidden] == 256).all()
        assert (np.where(is_hidden, row.targets, row.inputs_BT) == batch.inputs_BT).all()


def test_a_split_is_scored_with_the_same_masks_by_every_run(opened, tiny_config) -> None:
    seen: list[list[bytes]] = []
    for seed in (0, 1):
        config = masked(tiny_config(seed=seed))
        dataset = open_dataset(opened.data_dir, config.data)
        batches = list(dataset.evaluation_batches("validation", 4, 16))
        draws = [config.objective.evaluation_draw(number) for number in range(len(batches))]
        assert len(set(draws)) == len(draws)
        seen.append([row.inputs_BT.tobytes() for row in prepared(config, batches, draws)])
    assert seen[0] == seen[1]


def test_validations_of_unchanged_weights_agree(opened, tiny_config) -> None:
    """With a learning rate near zero, only different masks could change the validation loss."""
    config = masked(tiny_config(n_steps=4, validate_every=2, learning_rate=1e-30))
    run = train(opened, config)
    losses = [value for _, name, value in figures(run) if name == "validation/loss_nats"]
    assert len(losses) == 2
    assert len(set(losses)) == 1


def test_a_resumed_run_is_bitwise_identical(opened, tiny_config) -> None:
    config = masked(tiny_config("switchhead"))
    whole = train(opened, config)
    whole.directory.rename(whole.directory.parent / ".removed")
    with pytest.raises(KeyboardInterrupt):
        train(opened, config, [StopAtFour()])
    assert figures(train(opened, config)) == figures(whole)


def test_a_search_maximises_its_metric_and_the_report_shows_it(opened, tiny_config) -> None:
    config = tiny_config()
    tree = {
        "name": "masked",
        "size": "tiny",
        "matching": "parameter_matched",
        "objective": MASKED["objective"],
        "data": config.data.model_dump(),
        "model": {"d_model": 16, "n_layers": 1, "seq_len": 16, **MASKED["model"]},
        "training": config.training.model_dump(),
        "baseline": {"n_heads": 4, "d_head": 8, "d_ff": 32},
        "studies": [
            {
                "model": {"kind": "switchhead"},
                "n_trials": 2,
                "space": {"n_heads": [1, 2], "n_experts": [2], "top_k": [1]},
            }
        ],
    }
    record = run_sweep(opened, parse(Sweep, tree, "test"), NoIndex(), lambda _text: None)
    report = write_report(Selection(record, ()), opened.runs_dir, opened.reports_dir)
    assert not report.incomplete
    assert {"error-vs-attention-macs.png", "error-vs-model-macs.svg"} <= set(report.files)
    with (report.folder / "candidates.csv").open() as file:
        found = {
            row["run_name"]: row["validation_accuracy_percent"] for row in csv.DictReader(file)
        }
    best = next(member for member in record.members if member.role == "best")
    values = [float(value) for value in found.values() if value]
    assert float(found[best.run_name]) == max(values)
    assert not any("is not the candidate with" in line for line in report.caption)
    assert any("chosen on validation accuracy" in line for line in report.caption)
    page = (report.folder / "report.md").read_text()
    assert "perplexity" not in page


def test_random_batches_of_the_benchmark_have_its_shape(tiny_config) -> None:
    config = masked(tiny_config())
    batch = RandomBatches(config).at(1)
    assert batch.targets.shape == (4, 16)
    assert batch.targets.max() < config.n_outputs
    assert batch.starts_stream


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"direction": "causal"}}, "masked tokens need both sides"),
        ({"objective": {"masked_fraction": 1.5}}, "objective.masked_fraction = 1.5"),
        ({"objective": {"kind": "masked"}}, "kind 'masked'.*'masked_language_model'"),
        ({"objective": {"fraction": 0.5}}, 'unknown key "objective.fraction"'),
    ],
)
def test_invalid_configurations_are_rejected(
    tiny_config, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        masked(tiny_config(), **change)
