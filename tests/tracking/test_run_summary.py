import json
from pathlib import Path

import pytest
from run_makers import MakeRun

from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.run_summary import run_as_data, select_runs


def test_runs_are_selected_by_sweep_and_state(runs_dir: Path, make_run: MakeRun) -> None:
    first, second = make_run(sweep="nightly"), make_run("failed", seed=1)
    both = [first, second]
    assert select_runs(both, runs_dir) == both
    assert select_runs(both, runs_dir, sweep="nightly") == [first]
    assert select_runs(both, runs_dir, sweep="nightly", state="failed") == []
    with pytest.raises(RecordError, match='did you mean "nightly"'):
        select_runs(both, runs_dir, sweep="nihgtly")
    with pytest.raises(RecordError, match='did you mean "failed"'):
        select_runs(both, runs_dir, state="fialed")


def test_a_run_as_data_is_json(make_run: MakeRun) -> None:
    record = make_run()
    data = json.loads(json.dumps(run_as_data(record)))
    assert data["result"]["test_perplexity"] == 3.0
    assert data["config"]["model"]["d_model"] == 16
    assert data["mlflow"] is None
    assert data["paths"]["directory"] == str(record.directory)
