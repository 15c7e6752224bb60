"""Models of a sweep that start from the weights of another, which is trained first."""

import re

import pytest
from test_sweep import Trained, by_role, run
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError, TrainingError
from switchhead_lab.reporting.checks import incomplete_lines, warning_lines
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.sweeping.estimate import is_done
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.plan import config_of, declared_variants
from switchhead_lab.sweeping.study_name import study_name
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunRecord, read_run
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.training.initial_weights import last_weights_of

RATE = "training.learning_rate"
AGAIN = {"kind": "dense", "name": "again", "n_heads": 4, "initial_weights": "dense"}
FURTHER = {
    **AGAIN,
    "name": "further",
    "initial_weights": "again",
    "training": {"learning_rate": 1e-3},
}


def declare(*models: dict[str, object], **changes: object) -> Sweep:
    tree = {**DECLARATION, "models": list(models)}
    return parse(Sweep, merge_trees(tree, changes), "test")


def runs_of(workspace, record: SweepRecord, model: str) -> dict[int, RunRecord]:
    return {
        member.seed: read_run(workspace.runs_dir / member.run_name)
        for member in record.members
        if member.model == model and member.role != "candidate"
    }


def test_sources_are_trained_first_and_paired_by_seed(workspace, monkeypatch) -> None:
    trained = Trained(monkeypatch)
    sweep = declare({**FURTHER, "seeds": [0, 1]}, {**AGAIN, "seeds": [0, 1]})
    record = run(workspace, sweep)
    assert trained.names == ["dense", "dense", "again", "again", "further", "further"]
    for model, source in (("again", "dense"), ("further", "again")):
        sources = runs_of(workspace, record, source)
        for seed, one in runs_of(workspace, record, model).items():
            assert one.config.initial_weights == last_weights_of(sources[seed])
    times = {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")}
    assert run(workspace, sweep).members == record.members
    assert {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")} == times
    frame = read_report_data(record, workspace.runs_dir)
    assert incomplete_lines(frame) == []
    warnings = "\n".join(warning_lines(frame))
    assert "again starts from the weights of dense, so it has the training of dense" in warnings
    assert "further starts from the weights of again" in warnings


def test_every_seed_starts_from_the_only_run_of_its_source(workspace) -> None:
    record = run(workspace, declare({**AGAIN, "seeds": [3, 4]}, baseline={"seeds": [1]}))
    (source,) = runs_of(workspace, record, "dense").values()
    again = runs_of(workspace, record, "again")
    assert {one.config.initial_weights.run for one in again.values()} == {source.run_hash}
    assert again[3].run_hash != again[4].run_hash


def test_an_edited_source_and_its_dependants_are_retrained(workspace) -> None:
    first = {**AGAIN, "initial_weights": None}
    declared = declare(first, {**FURTHER})
    before = run(workspace, declared)
    changed = declare({**first, "training": {"learning_rate": 2e-3}}, FURTHER)
    after = run(workspace, changed)
    assert len(after.members) == len(before.members)
    for model in ("again", "further"):
        old, new = (runs_of(workspace, record, model)[0] for record in (before, after))
        assert old.run_hash != new.run_hash
    source = runs_of(workspace, after, "again")[0]
    assert runs_of(workspace, after, "further")[0].config.initial_weights.run == source.run_hash


def test_searched_and_tuned_models_may_be_and_have_sources(workspace) -> None:
    study = {"model": "again", "space": {RATE: [1e-3, 2e-3]}, "n_trials": 2}
    last = {**FURTHER, "initial_weights": "again-searched"}
    sweep = declare(AGAIN, last, studies=[study])
    record = run(workspace, sweep)
    dense = runs_of(workspace, record, "dense")[0]
    candidates = [
        read_run(workspace.runs_dir / member.run_name) for member in by_role(record, "candidate")
    ]
    assert len(candidates) == 2
    assert {c.config.initial_weights.run for c in candidates} == {dense.run_hash}
    best = runs_of(workspace, record, "again-searched")[0]
    assert runs_of(workspace, record, "further")[0].config.initial_weights.run == best.run_hash
    assert run(workspace, sweep).members == record.members


def test_tuned_models_start_from_the_tuned_run_of_their_source(workspace) -> None:
    sweep = declare(AGAIN, tune={RATE: [1e-3, 2e-3]}, n_tuning_trials=2)
    record = run(workspace, sweep)
    dense = runs_of(workspace, record, "dense")[0]
    assert runs_of(workspace, record, "again")[0].config.initial_weights.run == dense.run_hash
    assert incomplete_lines(read_report_data(record, workspace.runs_dir)) == []


def test_a_study_follows_the_declaration_of_its_model_and_of_its_source() -> None:
    study = {"model": "further", "space": {RATE: [1e-3, 2e-3]}, "n_trials": 2}
    sweeps = [
        declare({**AGAIN, **source}, {**FURTHER, **own}, studies=[study])
        for source, own in (
            ({}, {}),
            ({"training": {"weight_decay": 0.1}}, {}),
            ({}, {"training": {"weight_decay": 0.1}}),
            ({}, {"initial_weights": "dense"}),
        )
    ]
    assert len({study_name(sweep, sweep.studies[0]) for sweep in sweeps}) == 4


def test_a_run_outside_the_sweep_may_be_a_source(workspace) -> None:
    outside = runs_of(workspace, run(workspace, declare()), "dense")[0]
    models = [{**AGAIN, "initial_weights": outside.run_hash[:8]}]
    record = run(workspace, declare(*models, training={"n_steps": 2}))
    assert runs_of(workspace, record, "again")[0].config.initial_weights.run == outside.run_hash


def test_models_without_their_source_are_missing_and_others_are_trained(
    workspace, monkeypatch
) -> None:
    trained = Trained(monkeypatch)
    trained.actions = {2: TrainingError}  # the second seed of the baseline
    told: list[str] = []
    models = [{**AGAIN, "seeds": [0, 1]}, {**FURTHER, "initial_weights": None}]
    record = run_sweep(workspace, declare(*models), NoIndex(), told.append)
    assert trained.names == ["dense", "dense", "further", "again"]
    assert any(
        line.startswith("again, seed 1: not trained: dense, whose weights it starts from")
        for line in told
    )
    (gap,) = (
        line
        for line in incomplete_lines(read_report_data(record, workspace.runs_dir))
        if "again" in line
    )
    assert "again has 1 of 2 seeds (seed 1 never started)" in gap


def test_progress_counts_runs_that_start_from_weights(workspace) -> None:
    sweep = declare(AGAIN)
    again = next(v for v in declared_variants(sweep) if v.name == "again")
    config = config_of(sweep, again, 0)
    runs = list(runs_of(workspace, run(workspace, declare()), "dense").values())
    # Equal except for the initial weights, which the baseline's run does not have.
    assert not is_done(config, runs, has_source=True)
    assert is_done(config, runs)
    runs += runs_of(workspace, run(workspace, sweep), "again").values()
    assert is_done(config, runs, has_source=True)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([{**AGAIN, "initial_weights": "again"}], "again from again is a cycle"),
        (
            [{**AGAIN, "initial_weights": "further"}, FURTHER],
            "again from further from again is a cycle",
        ),
        (
            [{**AGAIN, "seeds": [0, 7]}],
            'model "again" has seed 7, but its source dense has seeds 0, 1',
        ),
    ],
)
def test_impossible_sources_are_rejected_in_the_declaration(models, message) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        declare(*models)


def test_unknown_and_unfit_sources_are_rejected_before_training(workspace) -> None:
    with pytest.raises(ConfigError, match=r'"dens": no model of the sweep \(did you mean "dense"'):
        run(workspace, declare({**AGAIN, "initial_weights": "dens"}))
    wide = {**AGAIN, "n_heads": 2}
    with pytest.raises(ConfigError, match=r'model "again": weights of dense do not fit: blocks\.0'):
        run(workspace, declare(wide))
    study = {
        "model": {"kind": "moa", "initial_weights": 3},
        "space": {"n_heads": [1]},
        "n_trials": 1,
    }
    with pytest.raises(ConfigError, match="write the name of a model of the sweep or of a run"):
        declare(studies=[study])
    assert not list(workspace.runs_dir.glob("*/config.toml"))


def test_candidates_that_do_not_fit_their_source_are_infeasible(workspace) -> None:
    study = {
        "model": {"kind": "dense", "initial_weights": "dense"},
        "name": "heads",
        "space": {"n_heads": [2, 4], RATE: [1e-3]},
        "n_trials": 2,
    }
    record = run(workspace, declare(studies=[study]))
    assert [member.point["n_heads"] for member in by_role(record, "candidate")] == [4]
    (infeasible,) = record.studies["heads"].infeasible
    assert "weights of dense do not fit" in infeasible.reason
    assert incomplete_lines(read_report_data(record, workspace.runs_dir)) == []
