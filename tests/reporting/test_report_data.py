import json
import shutil

import pytest

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.reporting.report_data import read_report_data


def _row(data, name):
    return next(row for row in data.models if row.name == name)


def test_rows_are_baseline_declared_best(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    assert [(row.name, row.role) for row in data.models] == [
        ("dense", "baseline"),
        ("dense-h2", "declared"),
        ("switchhead-declared", "declared"),
        ("switchhead", "best"),
    ]
    assert all(row.is_complete for row in data.models)


def test_shape_and_costs_are_those_of_the_runs(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    model = complete.switchhead(1, 4, 2)
    row = _row(data, "switchhead")
    assert (row.sizes.n_heads, row.sizes.n_experts, row.sizes.top_k) == (1, 4, 2)
    assert row.sizes.d_head == model.attention.d_head
    assert row.costs.macs == attention_macs(model, "published")
    assert row.costs.n_parameters == count_parameters(model, 256).total


def test_costs_follow_the_sweeps_convention(make_writer):
    writer = make_writer(convention="equations")
    writer.fill_models()
    data = read_report_data(writer.write(), writer.runs_dir)
    model = writer.switchhead(2, 4, 2)
    assert _row(data, "switchhead-declared").costs.macs == attention_macs(model, "equations")
    assert attention_macs(model, "equations") != attention_macs(model, "published")


def test_model_that_never_ran_has_its_declared_sizes(make_writer):
    writer = make_writer()
    data = read_report_data(writer.write(), writer.runs_dir)
    row = _row(data, "dense-h2")
    assert (row.sizes.n_heads, row.finished) == (2, [])
    assert row.costs.macs == attention_macs(writer.head_matched(), "published")
    assert _row(data, "switchhead").sizes.n_heads is None


def test_directory_decides_over_the_record(make_writer):
    writer = make_writer()
    path = writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    (path / "result.json").unlink()
    data = read_report_data(writer.write(), writer.runs_dir)
    assert data.baseline.finished == []


def test_missing_directory(complete):
    record = complete.write()
    shutil.rmtree(complete.runs_dir / complete.members[0].run_name)
    run = read_report_data(record, complete.runs_dir).baseline.runs[0]
    assert (run.state, run.result) == ("missing", None)


def test_damaged_directory_is_reported_without_its_path(complete):
    record = complete.write()
    name = complete.members[0].run_name
    (complete.runs_dir / name / "result.json").write_text("{", encoding="utf-8")
    run = read_report_data(record, complete.runs_dir).baseline.runs[0]
    assert run.state == "damaged"
    assert run.reason.startswith(f"{name}/result.json")


def test_another_configuration_in_the_directory_is_not_used(complete):
    record = complete.write()
    first, second = (complete.runs_dir / member.run_name for member in complete.members[:2])
    shutil.copy(second / "config.toml", first / "config.toml")
    data = read_report_data(record, complete.runs_dir)
    assert data.baseline.runs[0].state == "damaged"
    assert [run.member.seed for run in data.baseline.finished] == [1, 2]


def test_runs_of_a_different_architecture_are_excluded(make_writer):
    writer = make_writer()
    writer.add("switchhead", "best", writer.switchhead(2, 2, 2), 0, 30.0)
    writer.add("switchhead", "best", writer.switchhead(1, 2, 2), 1, 40.0)
    row = _row(read_report_data(writer.write(), writer.runs_dir), "switchhead")
    assert [run.member.seed for run in row.finished] == [1]
    assert row.excluded_runs == (writer.members[0].run_name,)


def test_a_later_run_replaces_an_earlier_one_of_the_same_seed(make_writer):
    writer = make_writer()
    writer.add("switchhead", "best", writer.switchhead(2, 2, 2), 0, 30.0)
    writer.add("switchhead", "best", writer.switchhead(1, 2, 2), 0, 40.0)
    data = read_report_data(writer.write(), writer.runs_dir)
    row = _row(data, "switchhead")
    assert row.statistics(data.quality.validation).values == (40.0,)
    assert (row.sizes.n_heads, row.excluded_runs) == (1, ())


def test_candidates_come_by_trial_with_state_and_reason(complete):
    data = read_report_data(complete.write(), complete.runs_dir)
    assert [(row.key, row.state) for row in data.candidates] == [
        ("0", "finished"),
        ("1", "pruned"),
        ("2", "infeasible"),
        ("3", "finished"),
    ]
    assert data.candidates[1].reason == "worse than the median | step 50"
    assert data.candidates[1].quality is None
    assert data.candidates[2].reason == "no d_head of 4 fits"


def test_mlflow_id_is_optional(complete):
    record = complete.write()
    first, second = (complete.runs_dir / member.run_name for member in complete.members[:2])
    (first / "mlflow.json").write_text(json.dumps({"run_id": "abc"}), encoding="utf-8")
    (second / "mlflow.json").write_text("{", encoding="utf-8")
    runs = read_report_data(record, complete.runs_dir).baseline.runs
    assert [run.mlflow_run_id for run in runs] == ["abc", None, None]


@pytest.mark.parametrize("values", [[36.0, 35.0, 34.0]])
def test_statistics_follow_the_order_of_the_seeds(make_writer, values):
    writer = make_writer()
    for seed in (2, 0, 1):
        writer.add("dense", "baseline", writer.dense(), seed, values[seed])
    data = read_report_data(writer.write(), writer.runs_dir)
    assert list(data.baseline.statistics(data.quality.validation).values) == values
