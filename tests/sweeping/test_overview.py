import pytest

from switchhead_lab.config.sweep_files import SweepFile, find_sweep
from switchhead_lab.number_text import short_hours
from switchhead_lab.sweeping.estimate import Speed
from switchhead_lab.sweeping.overview import sweep_detail, sweep_overviews
from switchhead_lab.sweeping.part_costs import part_costs
from switchhead_lab.views.sweep import overview_table

SWEEP = """
name = "tiny"
summary = "dense, head-matched dense and SwitchHead on the words that the tests are made of"
matching = "parameter_matched"
default_size = "ours"
model = { d_model = 16, n_layers = 1, seq_len = 8 }
baseline = { n_heads = 4, d_head = 8, d_ff = 32, seeds = [0, 1] }
models = [{ kind = "dense", name = "two-heads", n_heads = 2 }]
[training]
n_steps = 4
batch_size = 8
learning_rate = 3e-3
clip_norm = 0.5
validate_every = 2
checkpoint_every = 2
[sizes.ours]
data = { corpus = "words", tokenizer = { kind = "byte" } }
[sizes.echo]
extends = "ours"
paper = { table = 2, dataset = "c4", params = 262 }
[sizes.searched]
extends = "ours"
[[sizes.searched.studies]]
model = { kind = "switchhead" }
n_trials = 2
seeds = [0, 1]
space = { n_heads = [1, 2], n_experts = [2], top_k = [1] }
[sizes.impossible]
extends = "ours"
[[sizes.impossible.studies]]
model = { kind = "switchhead" }
n_trials = 2
space = { n_heads = [1], n_experts = [2], top_k = [3] }
[sizes.classification]
model = { context_multiple = 1, direction = "bidirectional", seq_len = 50 }
objective = { kind = "classification" }
data = { kind = "listops" }
"""


def speed(seconds_per_mac: float, *, is_here: bool) -> Speed:
    return Speed(
        step_seconds={},
        seconds_per_mac={"dense": seconds_per_mac},
        n_runs=3,
        devices=("cuda (NVIDIA H100)",),
        is_here=is_here,
        largest_n_parameters=1_384_000,
    )


@pytest.fixture
def sweep_file(workspace) -> SweepFile:
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP, encoding="utf-8")
    return find_sweep(workspace.sweeps_dir, "tiny")


def test_hours_cover_all_runs_and_times_are_this_machines(sweep_file) -> None:
    sweep = sweep_file.resolve("ours")
    speeds = {"cpu": speed(1e-6, is_here=True), "gpu": speed(1e-9, is_here=False)}
    dense, two_heads = part_costs(sweep, [], speeds)
    # A run's MACs, forward and backward, are three times the measured forward MACs.
    seconds = dense.run_macs / 3 * 1e-6
    assert (dense.n_runs, two_heads.n_runs) == (2, 1)
    assert dense.run_seconds == dense.run_cpu_seconds == pytest.approx(seconds)
    assert dense.cpu_hours == pytest.approx(2 * seconds / 3600)
    assert dense.gpu_hours == pytest.approx(2 * seconds / 3600 / 1000)
    assert dense.seconds_left == pytest.approx(2 * seconds)


@pytest.mark.parametrize("size", ["ours", "searched", "classification"])
def test_what_was_not_measured_is_unknown(sweep_file, size: str) -> None:
    speeds = {"gpu": speed(1e-9, is_here=False)}
    detail = sweep_detail(sweep_file.resolve(size), [], speeds)
    for cost in detail.costs:
        assert cost.cpu_hours is None
        assert cost.gpu_hours > 0
        assert cost.seconds_left is None
    assert detail.seconds_left is None
    assert detail.plain()["costs"][0]["gpu_hours"] == detail.costs[0].gpu_hours


def test_a_search_counts_the_other_seeds_of_its_best(sweep_file) -> None:
    speeds = {"cpu": speed(1e-6, is_here=True)}
    search = part_costs(sweep_file.resolve("searched"), [], speeds)[-1]
    assert search.n_runs == 3
    assert search.cpu_hours == pytest.approx(3 * search.run_cpu_seconds / 3600)


def test_a_search_without_a_feasible_model_costs_nothing(sweep_file) -> None:
    speeds = {"cpu": speed(1e-6, is_here=True)}
    detail = sweep_detail(sweep_file.resolve("impossible"), [], speeds)
    assert detail.costs[-1].n_runs == 0
    assert detail.seconds_left == pytest.approx(sum(c.seconds_left for c in detail.costs[:-1]))


def test_an_overview_of_every_size(workspace, sweep_file) -> None:
    speeds = {"cpu": speed(1e-3, is_here=True)}
    overviews = list(sweep_overviews(workspace, [], speeds))
    assert [o.size for o in overviews] == list(sweep_file.sizes)
    table = overview_table(overviews)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    by_size = {row["size"].removesuffix("*"): row for row in rows}
    assert by_size["echo"]["table"] == "2 c4 262M"
    assert by_size["ours"]["table"] == "-"
    assert by_size["ours"]["size"] == "ours*"
    assert by_size["ours"]["done"] == "0/3"
    assert by_size["ours"]["GPU h"] == "?"
    assert by_size["ours"]["CPU h"] == short_hours(overviews[0].cpu_hours) != "?"
    summary = "dense, head-matched dense and SwitchHead on the words that the tests are made of"
    assert table.group_titles == {0: f"tiny: {summary}"}
