"""Sweeps end to end on a small corpus: what is trained, skipped and continued."""

from collections.abc import Sequence

import pytest
from finished_sweeps import finished
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import DataError, MatchError, TrainingError
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.sweeping import worker
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.study import sampler_seed
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord

STUDY = {
    "model": {"kind": "switchhead"},
    "n_trials": 3,
    "seeds": [0, 1],
    "n_startup_trials": 2,
    "n_pruning_warmup_steps": 1000,
    "first": [{"n_heads": 2, "n_experts": 2, "top_k": 1}],
    "space": {"n_heads": [1, 2, 4], "n_experts": [2, 3], "top_k": [1, 2, 3]},
}


def declare(study: dict[str, object] | None = None, **changes: object) -> Sweep:
    tree = {**DECLARATION, "studies": [merge_trees(STUDY, study or {})]}
    return parse(Sweep, merge_trees(tree, changes), "test")


def run(workspace, sweep: Sweep) -> SweepRecord:
    return run_sweep(workspace, sweep, NoIndex(), lambda text: None)


def by_role(record: SweepRecord, role: str):
    return [member for member in record.members if member.role == role]


class Trained:
    """Counts executed trainings, and may make them fail or stop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.actions: dict[int, type[BaseException]] = {}
        original = worker.execute_run

        def execute(workspace, config, labels, **options):
            self.names.append(labels.variant)
            action = self.actions.get(len(self.names))
            if action is not None:
                raise action(f"{labels.variant} broke")
            return original(workspace, config, labels, **options)

        monkeypatch.setattr(worker, "execute_run", execute)


def test_all_declared_models_are_trained_with_every_seed(workspace) -> None:
    record = run(workspace, declare())
    assert {m.state for m in record.members} == {"finished"}
    assert [(m.model, m.seed) for m in by_role(record, "baseline")] == [("dense", 0), ("dense", 1)]
    assert [m.model for m in by_role(record, "declared")] == ["two-heads"]
    candidates = by_role(record, "candidate")
    assert len(candidates) == 3
    assert len({m.run_hash for m in candidates}) == 3
    first = read_run(workspace.runs_dir / candidates[0].run_name).config.model.attention
    assert (first.n_heads, first.n_experts, first.top_k) == (2, 2, 1)
    assert [m.seed for m in by_role(record, "best")] == [0, 1]
    assert SweepDir.of(workspace.runs_dir, declare()).read() == record


def test_models_that_are_matched_to_the_same_sizes_share_their_runs(workspace) -> None:
    models = [{"kind": "dense", "name": name, "n_heads": 2} for name in ("one", "other")]
    sweep = declare(models=models)
    sweep = sweep.model_copy(update={"studies": []})
    for _ in range(2):
        record = run(workspace, sweep)
        assert [m.model for m in by_role(record, "declared")] == ["one", "other"]
        assert len({m.run_hash for m in by_role(record, "declared")}) == 1
    assert len(read_report_data(record, workspace.runs_dir).models[1].finished) == 1
    assert len(list(workspace.runs_dir.glob("*/result.json"))) == 3


def test_best_is_chosen_on_validation(workspace) -> None:
    record = finished(workspace, declare())

    def perplexity(member) -> float:
        result = read_run(workspace.runs_dir / member.run_name).result
        assert result is not None
        return result.validation["perplexity"]

    best = by_role(record, "best")[0]
    assert perplexity(best) == min(perplexity(m) for m in by_role(record, "candidate"))


@pytest.mark.thorough
def test_infeasible_candidates_are_rejected_before_training(workspace) -> None:
    study = {"n_trials": 50}
    record = run(workspace, declare(study=study))
    infeasible = record.studies["switchhead"].infeasible
    shapes = {tuple(c.point[name] for name in STUDY["space"]) for c in infeasible}
    reasons = {c.reason for c in infeasible}
    trained = {
        (a.n_heads, a.n_experts, a.top_k)
        for m in by_role(record, "candidate")
        for a in [read_run(workspace.runs_dir / m.run_name).config.model.attention]
    }
    assert not shapes & trained
    # Of 3 * 2 * 3 combinations, 3 need 3 of 2 experts and 3 (4 heads, 3 experts) are too large.
    assert len(trained) == 12
    assert "top_k=3 but n_experts=2; use a top_k in 1..2" in reasons


def test_running_again_trains_nothing(workspace, monkeypatch) -> None:
    record = finished(workspace, declare())
    times = {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")}
    again = run(workspace, declare())
    assert again.members == record.members
    assert {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob("*/metrics.jsonl")} == times


def test_an_interrupted_sweep_ends_like_an_uninterrupted_one(workspace, monkeypatch) -> None:
    whole = finished(workspace, declare())
    workspace.runs_dir.rename(workspace.root / "elsewhere")
    trained = Trained(monkeypatch)
    for _ in range(5):  # one more run finishes before each interruption
        trained.names.clear()
        trained.actions = {2: KeyboardInterrupt}
        with pytest.raises(KeyboardInterrupt):
            run(workspace, declare())
    trained.actions = {}
    continued = run(workspace, declare())

    def essence(record: SweepRecord) -> Sequence[tuple]:
        return [(m.model, m.role, m.seed, m.run_hash, m.state) for m in record.members]

    assert essence(continued) == essence(whole)


def test_every_trial_has_its_own_sampler_seed() -> None:
    """With a shared seed, a continued study would repeat its first proposals."""
    (config,) = declare().studies
    assert len({sampler_seed(config, number) for number in range(50)}) == 50
    other = config.model_copy(update={"sampler_seed": 1})
    assert sampler_seed(config, 3) != sampler_seed(other, 3)


def test_more_trials_continue_the_same_study(workspace) -> None:
    before = by_role(finished(workspace, declare()), "candidate")
    after = by_role(run(workspace, declare(study={"n_trials": 5})), "candidate")
    assert [m.run_hash for m in after[:3]] == [m.run_hash for m in before]
    assert len({m.run_hash for m in after}) == 5


def test_a_better_candidate_replaces_the_best(workspace) -> None:
    before = by_role(finished(workspace, declare(study={"n_trials": 1})), "best")
    after = by_role(run(workspace, declare(study={"n_trials": 8})), "best")
    assert [m.seed for m in after] == [0, 1]
    assert not {m.run_hash for m in before} & {m.run_hash for m in after}


def test_a_first_candidate_added_later_is_tried_next(workspace) -> None:
    finished(workspace, declare(study={"n_trials": 1}))
    first = [{"n_heads": 2, "n_experts": 2, "top_k": 1}, {"n_heads": 1, "n_experts": 3, "top_k": 3}]
    record = run(workspace, declare(study={"n_trials": 2, "first": first}))
    added = read_run(workspace.runs_dir / by_role(record, "candidate")[1].run_name)
    attention = added.config.model.attention
    assert (attention.n_heads, attention.n_experts, attention.top_k) == (1, 3, 3)


def test_a_failed_run_does_not_end_the_sweep_and_is_retried_later(workspace, monkeypatch) -> None:
    trained = Trained(monkeypatch)
    trained.actions = {1: TrainingError, 5: TrainingError}
    record = run(workspace, declare())
    failed = [m for m in record.members if m.state == "failed"]
    assert [(m.model, m.reason) for m in failed] == [
        ("dense", "dense broke"),
        ("switchhead", "switchhead broke"),
    ]
    assert len(by_role(record, "candidate")) == 3
    trained.actions = {}
    again = run(workspace, declare())
    assert [m.state for m in by_role(again, "baseline")] == ["finished", "finished"]
    assert [m.state for m in by_role(again, "candidate")].count("failed") == 1


def test_bad_candidates_are_pruned(workspace) -> None:
    pruning = {"n_pruning_warmup_steps": 0, "n_startup_trials": 1, "n_trials": 8}
    record = run(workspace, declare(study=pruning))
    candidates = by_role(record, "candidate")
    pruned = [m for m in candidates if m.state == "pruned"]
    assert pruned
    assert all("above the median of earlier candidates" in m.reason for m in pruned)
    assert {m.state for m in by_role(record, "best")} == {"finished"}


def test_equal_configurations_are_trained_once(workspace) -> None:
    declared = {"kind": "dense", "name": "twin", "n_heads": 4, "seeds": [0]}
    record = run(workspace, declare(models=[declared], study={"n_trials": 1}))
    baseline, twin = by_role(record, "baseline")[0], by_role(record, "declared")[0]
    assert twin.run_name == baseline.run_name
    assert len(list(workspace.runs_dir.glob("*/status.json"))) == 2 + 2


def test_mac_matched_sweep(workspace) -> None:
    record = run(workspace, declare(matching="mac_matched", models=[]))
    assert {m.state for m in record.members} == {"finished"}


@pytest.mark.parametrize("positions", ["transformer_xl", "rope"])
def test_every_kind_of_declared_model_is_trained(workspace, positions: str) -> None:
    shape = {"n_heads": 2, "n_experts": 2, "top_k": 1}
    sigma_moe = {"kind": "sigma_moe", "n_experts": 3, "d_expert": 8, "top_k": 2}
    models = [
        {"kind": "dense", "name": "dense-sigma-moe", "n_heads": 4, "feedforward": sigma_moe},
        {"kind": "switchhead", "name": "all-experts", **shape, "expert_projections": list("vkqo")},
        {"kind": "switchhead", "name": "shared", **shape, "shared_selection": True},
        {"kind": "switchhead", "name": "dropped", **shape, "p_expert_dropout": 0.3},
        {"kind": "switchhead", "name": "switchall", **shape, "feedforward": sigma_moe},
        {"kind": "moa", "name": "moa", "n_heads": 2, "n_experts": 3, "switch_coefficient": 0.01},
    ]
    tree = merge_trees(DECLARATION, {"model": {"positions": {"kind": positions}}, "models": models})
    record = run(workspace, parse(Sweep, tree, "test"))
    assert [m.model for m in by_role(record, "declared")] == [model["name"] for model in models]
    assert {m.state for m in record.members} == {"finished"}
    for member in by_role(record, "declared"):
        model = read_run(workspace.runs_dir / member.run_name)
        assert model.config.model.positions.kind == positions
        assert (model.config.model.feedforward.kind == "sigma_moe") == (
            member.model in ("dense-sigma-moe", "switchall")
        )


def test_a_declared_model_that_cannot_be_matched_stops_before_training(workspace) -> None:
    impossible = {"kind": "switchhead", "name": "x", "n_heads": 9, "n_experts": 9, "top_k": 1}
    with pytest.raises(MatchError, match='sweep tiny, model "x": n_heads=9.*n_heads up to'):
        run(workspace, declare(models=[impossible]))
    assert not workspace.runs_dir.exists()


def test_a_corpus_smaller_than_a_batch_stops_before_training(workspace) -> None:
    sweep = declare(training={"batch_size": 50_000})
    with pytest.raises(DataError, match=r"train\.bin: the training split has .* tokens, but one b"):
        run(workspace, sweep)
    assert not SweepDir.of(workspace.runs_dir, sweep).record_path.exists()


def test_a_sweep_without_search(workspace) -> None:
    tree = DECLARATION
    record = run(workspace, parse(Sweep, tree, "test"))
    assert [m.role for m in record.members] == ["baseline", "baseline", "declared"]
