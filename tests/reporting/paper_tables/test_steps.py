import json

import pytest

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.reporting.paper_tables.steps import read_steps
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.tracking.bench_record import step_bench_path, step_id

NAME = "paper/table5-wikitext103"


@pytest.fixture
def bench(home, sweeps_dir):
    """Record timings of the sweep's models at a size, each twice as slow as the one before."""

    def make(size, **changes):
        sweep = find_sweep(sweeps_dir, NAME).resolve(size)
        steps = [
            {
                "model": variant.name,
                "family": variant.model.family,
                "ms": 100.0 * 2**number,
                "relative_time": 2.0**number,
                "saved_floats": 1000 // 2**number,
                "relative_saved_floats": 0.5**number,
            }
            for number, variant in enumerate(declared_variants(sweep))
        ]
        path = step_bench_path(home / "reports", sweep)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"device": "cpu (a test)", "precision": "fp32", "n_rounds": 25, "steps": steps}
        path.write_text(json.dumps(facts | changes), encoding="utf-8")

    return make


def records(table, **wanted):
    return [
        row
        for row in table.grid.records()
        if all(row[key] == value for key, value in wanted.items())
    ]


def test_timings_of_this_machine_are_beside_the_papers(home, sweeps_dir, bench):
    bench("small")
    table = read_steps(sweeps_dir, home / "reports")
    (row,) = records(table, row="47M switchhead")
    assert (row["paper_relative_time"], row["relative_time"]) == (0.72, 2.0)
    assert row["relative_time_difference"] == pytest.approx(1.28)
    assert (row["paper_relative_memory"], row["relative_memory"]) == (0.65, 0.5)
    assert row["where"] == "cpu (a test), fp32"
    assert records(table, row="47M moa")[0]["model"] == "moa"
    assert [source["file"] for source in table.sources] == [
        step_bench_path(home, find_sweep(sweeps_dir, NAME).resolve("small")).name
    ]


def test_missing_timings_name_the_command(home, sweeps_dir, bench):
    bench("small")
    table = read_steps(sweeps_dir, home / "reports")
    assert table.incomplete == (
        "INCOMPLETE: 262M: no timing of transformer, switchhead, moa: run `lab bench step "
        "paper/table5-wikitext103 --size large`.",
    )
    assert records(table, row="262M moa")[0]["ms"] is None


def test_every_timed_size_has_rows_unless_one_is_chosen(home, sweeps_dir, bench):
    bench("small")
    bench("pocket")
    folders = sweeps_dir, home / "reports"
    sizes = [row["size"] for row in records(read_steps(*folders), row="47M switchhead")]
    assert sizes == ["small", "pocket"]
    chosen = read_steps(*folders, "pocket")
    assert [row["size"] for row in records(chosen, row="47M switchhead")] == ["pocket"]
    assert chosen.name == "table5-pocket"
    with pytest.raises(ConfigError, match=r"--size huge: no sweep of Table 5 has this size"):
        read_steps(*folders, "huge")


def test_recorded_gpu_runs_count(home, sweeps_dir):
    sweep = find_sweep(sweeps_dir, NAME).resolve("large")
    cases = []
    for number, variant in enumerate(declared_variants(sweep), start=1):
        key = step_id(variant.model, sweep.vocab_size, sweep.n_outputs, sweep.training.batch_size)
        step = {"ms": 10.0 * number, "peak_memory_bytes": 1e9 * number, "micro_batch_size": 64}
        cases.append({"findings": {"step_id": key, "eager": step}})
    folder = home / "reports" / "gpu" / "card"
    folder.mkdir(parents=True)
    run = {
        "is_dry_run": False,
        "machine": {"facts": {"device_name": "A card"}},
        "provenance": {"git": {"commit": "c" * 40}},
        "parts": [{"name": "steps", "cases": cases}],
    }
    (folder / "gpu.json").write_text(json.dumps(run), encoding="utf-8")
    table = read_steps(sweeps_dir, home / "reports")
    (row,) = records(table, row="262M switchhead")
    assert (row["where"], row["relative_time"], row["memory_unit"]) == (
        *("card, eager", 2.0, "bytes allocated"),
    )
    assert any("card: Median of whole" in line and "A card" in line for line in table.caption)


def test_a_bench_of_another_version_is_refused(home, sweeps_dir, bench):
    bench("small", steps=[{"model": "dense"}])
    with pytest.raises(RecordError, match="no timings of this version"):
        read_steps(sweeps_dir, home / "reports")
