import json

from run_makers import MakeRun

from switchhead_lab.tracking.run_summary import run_as_data


def test_a_run_as_data_is_json(make_run: MakeRun) -> None:
    record = make_run()
    data = json.loads(json.dumps(run_as_data(record)))
    assert data["result"]["test_perplexity"] == 3.0
    assert data["config"]["model"]["d_model"] == 16
    assert data["mlflow"] is None
    assert data["paths"]["directory"] == str(record.directory)
