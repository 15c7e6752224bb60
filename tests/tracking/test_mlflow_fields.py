import math
from collections.abc import Callable

from run_makers import MakeRun

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.mlflow_fields import (
    MAX_PARAM_CHARACTERS,
    params_of,
    point_rows,
    result_rows,
    run_tags,
)
from switchhead_lab.tracking.record import MetricPoint


class Inner(FrozenModel):
    text: str
    flag: bool = True
    numbers: list[int] = [1, 2]
    absent: int | None = None


class Outer(FrozenModel):
    inner: Inner


def test_params_are_flat_strings_within_mlflows_limits() -> None:
    params = params_of(Outer(inner=Inner(text="x" * 10_000)))
    long = params.pop("inner.text")
    assert len(long) == MAX_PARAM_CHARACTERS
    assert long.endswith("(cut)")
    assert params == {"inner.flag": "true", "inner.numbers": "[1, 2]"}


def test_params_name_the_fields_of_a_run(tiny_config: Callable[..., RunConfig]) -> None:
    params = params_of(tiny_config("switchhead", seed=3))
    assert params["model.attention.n_experts"] == "3"
    assert params["model.attention.kind"] == "switchhead"
    assert params["seed"] == "3"


def test_points_become_rows_by_step_and_by_tokens() -> None:
    point = MetricPoint(5, 320, 1_700_000_000.1234, {"a/b": 0.5, "c": 2})
    assert list(point_rows(point)) == [
        ("a/b", 0.5, 1_700_000_000_123, 5),
        ("by_tokens/a/b", 0.5, 1_700_000_000_123, 320),
        ("c", 2.0, 1_700_000_000_123, 5),
        ("by_tokens/c", 2.0, 1_700_000_000_123, 320),
    ]


def test_non_finite_values_are_never_sent() -> None:
    point = MetricPoint(1, 1, 1.0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0})
    assert {row.key for row in point_rows(point)} == {"d", "by_tokens/d"}


def test_results_become_rows_at_the_last_step(make_run: MakeRun) -> None:
    record = make_run()
    rows = {row.key: row for row in result_rows(record)}
    assert rows["result/validation_perplexity"].value == 2.5
    assert rows["result/n_parameters"].step == 6
    assert "result/device" not in rows
    assert list(result_rows(record)) == list(result_rows(record))
    assert list(result_rows(make_run("failed", seed=1))) == []


def test_tags_name_the_run_and_its_sources(make_run: MakeRun) -> None:
    record = make_run(seed=7, sweep="nightly")
    tags = run_tags(record, "parent")
    assert tags["lab.run_hash"] == record.run_hash
    assert tags["lab.run_name"] == tags["mlflow.runName"] == record.name
    assert tags["lab.git_commit"] == tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["lab.git_dirty"] == "true"
    assert tags["lab.data_digest"] == "d1"
    assert tags["lab.sweep"] == "nightly"
    assert tags["lab.run_dir"] == str(record.directory)
    assert (tags["lab.seed"], tags["lab.attempt"]) == ("7", "1")
    assert tags["mlflow.parentRunId"] == "parent"
    assert "mlflow.parentRunId" not in run_tags(record, None)
