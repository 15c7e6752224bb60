"""Losses of 20 float32 steps, recorded once: a refactoring must leave them alone.

`pytest tests/golden --regenerate-golden` records them anew; such a change is reviewed like a change
to a result. The tolerance is what another CPU's order of summation may do over 20 steps.
"""

import json
from pathlib import Path

import pytest

from switchhead_lab.data.token_store import register
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.training.run import execute_run

FILE = Path(__file__).with_name("losses.json")
TOLERANCE = 1e-4
N_LINES = 1500


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
def test_losses_are_the_recorded_ones(
    workspace, tiny_config, write_corpus, attention: str, request: pytest.FixtureRequest
) -> None:
    text = write_corpus(workspace.root / "words.txt", n_lines=N_LINES)
    register(workspace.data_dir, text, "words", replace=True)
    config = tiny_config(attention, n_steps=20, validate_every=10, checkpoint_every=20)
    labels = RunLabels(size="tiny", variant=attention)
    run = execute_run(workspace, config, labels, index=NoIndex())
    losses = [
        value
        for point in run.metrics()
        for name, value in point.metrics.items()
        if name.endswith("loss_nats")
    ]
    recorded = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    if request.config.getoption("--regenerate-golden"):
        recorded[attention] = losses
        FILE.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert losses == pytest.approx(recorded[attention], rel=TOLERANCE)
    assert len(losses) == 22
