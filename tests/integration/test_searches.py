"""Searches over fields of models and of training, and their reports."""

import itertools

import pytest
from test_sweep import by_role, run
from tiny_sweep import DECLARATION

from switchhead_lab.budget.cost_axes import ATTENTION_MACS, axis_of
from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.candidate_table import candidate_grid
from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.checks import incomplete_lines, warning_lines
from switchhead_lab.reporting.figure_axes import cost_figure_axis
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.tradeoff import PARETO_SET, tradeoff_points
from switchhead_lab.sweeping.part_costs import part_costs
from switchhead_lab.tracking.record import list_runs, read_run
from switchhead_lab.tracking.sweep_record import SweepRecord

RATE = "training.learning_rate"
SWITCHHEAD = {"kind": "switchhead", "n_heads": 2, "n_experts": 2, "top_k": 1}
MOA = {"kind": "moa", "name": "moa", "n_heads": 2, "n_experts": 3}


def declare(*studies: dict[str, object], **changes: object) -> Sweep:
    tree = {**DECLARATION, "studies": list(studies), "models": []}
    return parse(Sweep, merge_trees(tree, changes), "test")


def configs(workspace, record: SweepRecord, role: str, model: str):
    members = [member for member in by_role(record, role) if member.model == model]
    return [read_run(workspace.runs_dir / member.run_name).config for member in members]


def test_every_model_is_tuned_with_the_same_number_of_trials(workspace) -> None:
    models = [{**SWITCHHEAD, "name": "switchhead", "seeds": [0, 1]}, MOA]
    record = run(workspace, declare(models=models, tune=[RATE], n_tuning_trials=2))
    assert {member.state for member in record.members} <= {"finished", "pruned"}
    for model, role, n_seeds in (
        ("dense", "baseline", 2),
        ("switchhead", "declared", 2),
        ("moa", "declared", 1),
    ):
        tried = configs(workspace, record, "candidate", model)
        assert len({config.training.learning_rate for config in tried}) == 2
        assert all(3e-3 / 4 <= config.training.learning_rate <= 4 * 3e-3 for config in tried)
        final = configs(workspace, record, role, model)
        assert len(final) == n_seeds
        assert len({config.training.learning_rate for config in final}) == 1
        assert final[0].training.learning_rate in {c.training.learning_rate for c in tried}
        assert all(config.model == final[0].model for config in tried)
    frame = read_report_data(record, workspace.runs_dir)
    assert incomplete_lines(frame) == []
    assert not any("is not the candidate" in line for line in warning_lines(frame))
    (line,) = (
        line for line in caption_lines(frame, ()) if line.startswith("Every model was tuned")
    )
    assert f"over {RATE}, with 2 candidates each" in line
    assert all(f"{name} {RATE}=" in line for name in ("dense", "switchhead", "moa"))


def test_running_a_tuned_sweep_again_trains_nothing(workspace) -> None:
    sweep = declare(tune={RATE: [1e-3, 2e-3]}, n_tuning_trials=2)
    record = run(workspace, sweep)
    tried = configs(workspace, record, "candidate", "dense")
    assert {config.training.learning_rate for config in tried} == {1e-3, 2e-3}
    times = {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")}
    assert run(workspace, sweep).members == record.members
    assert {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")} == times


def test_fields_of_feed_forward_and_training_are_searched(workspace) -> None:
    study = {
        "model": {**SWITCHHEAD, "feedforward": {"kind": "sigma_moe", "n_experts": 4, "top_k": 2}},
        "space": {
            "feedforward.d_expert": {"low": 4, "high": 8, "step": 4},
            "gate": ["sigmoid", "softmax"],
            RATE: {"low": 1e-3, "high": 1e-2, "log": True},
        },
        "n_trials": 3,
    }
    record = run(workspace, declare(study))
    found = configs(workspace, record, "candidate", "switchhead")
    assert len(found) == 3
    for config, member in zip(found, by_role(record, "candidate"), strict=True):
        point = member.point
        assert config.model.feedforward.d_expert == point["feedforward.d_expert"]
        assert config.model.attention.gate == point["gate"]
        assert config.training.learning_rate == point[RATE]
        assert 1e-3 <= point[RATE] <= 1e-2
    assert record.studies["switchhead"].n_feasible is None
    warnings = warning_lines(read_report_data(record, workspace.runs_dir))
    assert any("searched over training.learning_rate, over which" in line for line in warnings)


@pytest.mark.parametrize("sampler", [pytest.param("grid", marks=pytest.mark.thorough), "nsga2"])
def test_the_pareto_set_of_two_objectives(workspace, sampler: str) -> None:
    """The space is finite: every feasible combination is trained."""
    study = {
        "model": {"kind": "switchhead"},
        "space": {"n_heads": [1, 2], "n_experts": [2, 3], "top_k": [1, 2]},
        "objectives": ["validation/loss", "macs"],
        "sampler": sampler,
        "n_trials": 100,
    }
    record = run(workspace, declare(study))
    frame = read_report_data(record, workspace.runs_dir)
    assert len(frame.candidates) == 8
    assert incomplete_lines(frame) == []
    values = {
        row.key: (row.run.result.validation["loss_nats"], row.costs.macs)
        for row in frame.candidates
    }
    dominated = {
        a
        for a, b in itertools.permutations(values, 2)
        if values[b] != values[a] and all(x <= y for x, y in zip(values[b], values[a], strict=True))
    }
    pareto = values.keys() - dominated
    assert {row.key for row in frame.candidates if row.is_pareto} == pareto
    grid = candidate_grid(frame)
    marked = {row[0].text for row in grid.rows if grid.cell(row, "pareto").text == "*"}
    assert marked == pareto
    drawn = tradeoff_points(frame, cost_figure_axis(axis_of(ATTENTION_MACS, "published")))
    # The best candidate is drawn as a model.
    assert [point.family for point in drawn].count(PARETO_SET) == len(pareto) - 1
    best = min(values.values())[0]
    (row,) = (row for row in frame.models if row.role == "best")
    assert row.finished[0].result.validation["loss_nats"] == best


def test_a_sweep_may_match_by_executed_costs(workspace) -> None:
    sweep = declare(
        models=[{**SWITCHHEAD, "name": "switchhead"}], matching="mac_matched", convention="executed"
    )
    record = run(workspace, sweep)
    dense, switchhead = record.models
    assert 0 < switchhead.costs.macs <= dense.costs.macs
    frame = read_report_data(record, workspace.runs_dir)
    assert [row.costs.macs for row in frame.models] == [dense.costs.macs, switchhead.costs.macs]


STUDY = {"model": {"kind": "switchhead"}, "space": {"n_heads": [1, 2]}, "n_trials": 1}


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"space": {"n_head": [1]}}, 'space.n_head (did you mean "n_heads"?): not a searchable'),
        ({"space": {"d_head": [4]}}, "space.d_head.*: not a searchable field"),
        ({"space": {}}, "at least 1 item"),
        ({"space": {"n_heads": []}}, "at least 1 item"),
        ({"space": {"n_heads": [0]}}, "space.n_heads has 0: Input should be greater"),
        ({"space": {"n_heads": {"low": 4, "high": 2}}}, "low=4 is not below high=2"),
        ({"space": {"n_heads": {"low": 1, "high": 4, "step": 2}}}, "step=2 does not reach high=4"),
        ({"space": {"n_heads": {"low": 1.0, "high": 2.5}}}, "the field takes integers"),
        ({"space": {"training.n_steps": [1]}}, "space.training.n_steps"),
        ({"space": {RATE: {"low": 0.0, "high": 1.0, "log": True}}}, "log=true needs a positive"),
        ({"space": {RATE: {"low": 0.1, "high": 1.0}}, "sampler": "grid"}, "has no step"),
        ({"space": {"gate": ["relu"]}}, "space.gate has 'relu'"),
        ({"model": {"kind": "switchead"}}, 'did you mean "switchhead"'),
        ({"model": "dense2"}, "no such model; models: dense"),
        ({"model": "dense", "name": "other"}, "not a searchable field"),
        ({"objectives": ["validation/los"]}, 'did you mean "validation/loss"'),
        ({"objectives": ["macs"]}, "begin with a validation metric"),
        ({"sampler": "cmaes"}, "sampler"),
    ],
)
def test_bad_searches_are_rejected(study: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        declare({**STUDY, **study})
    assert all(part in str(error.value) for part in message.split(".*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": ["training.rate"]}, "tune names training.rate"),
        ({"tune": ["training.n_warmup_steps"]}, "gives no range"),
        ({"tune": ["model.d_model"]}, "use fields of training"),
        ({"tune": [RATE], "studies": [STUDY]}, f"does not search {RATE}"),
    ],
)
def test_bad_tuning_is_rejected(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        declare(**changes)


def test_models_may_have_their_own_positions_and_training(workspace) -> None:
    own = {"positions": {"kind": "rope"}, "training": {"learning_rate": 1e-3}}
    models = [{"kind": "dense", "name": "rope", "n_heads": 2, **own}, {**SWITCHHEAD, "name": "s"}]
    record = run(workspace, declare(models=models))
    (rope,) = configs(workspace, record, "declared", "rope")
    (other,) = configs(workspace, record, "declared", "s")
    assert (rope.model.positions.kind, rope.training.learning_rate) == ("rope", 1e-3)
    assert (other.model.positions.kind, other.training.learning_rate) == ("transformer_xl", 3e-3)
    warnings = warning_lines(read_report_data(record, workspace.runs_dir))
    assert any("rope was trained differently" in line and "0.001" in line for line in warnings)


def test_a_models_own_training_cannot_change_its_data() -> None:
    shared = "training.n_steps is the same for all models.*may override learning_rate"
    with pytest.raises(ConfigError, match=shared) as raised:
        declare(models=[{**SWITCHHEAD, "name": "s", "training": {"n_steps": 9}}])
    assert "did you mean" not in str(raised.value)
    with pytest.raises(ConfigError, match="tune names training.n_steps, which is the same for all"):
        declare(tune=["training.n_steps"])
    with pytest.raises(ConfigError, match="space.training.n_steps is the same for all models"):
        declare({"model": SWITCHHEAD, "space": {"training.n_steps": [1, 2]}, "n_trials": 1})
    with pytest.raises(ConfigError, match='lerning_rate .did you mean "learning_rate"'):
        declare(models=[{**SWITCHHEAD, "name": "s", "training": {"lerning_rate": 9}}])


def test_progress_counts_every_candidate_of_tuned_models_and_searches(workspace) -> None:
    study = {"model": SWITCHHEAD, "space": {RATE: {"low": 1e-3, "high": 1e-2}}, "n_trials": 2}
    sweep = declare(study, tune=[RATE], n_tuning_trials=2, models=[MOA])
    costs = part_costs(sweep, [], {})
    # The baseline has two seeds.
    expected = {"dense": 3, "moa": 2, "switchhead": 2}
    assert {cost.name: cost.n_runs for cost in costs} == expected
    assert {cost.n_done for cost in costs} == {0}
    run(workspace, sweep)
    costs = part_costs(sweep, list_runs(workspace.runs_dir), {})
    assert {cost.name: cost.n_done for cost in costs} == expected
