"""A small fixed set of records, written with the real writers."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from switchhead_lab.budget.matching import baseline_model, match_heads
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.search import Point, Study
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.plan import (
    Variant,
    candidate_variant,
    declared_variants,
    resolved_model,
)
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.record import MetricPoint, RunLabels, RunResult, RunState
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import (
    InfeasibleCandidate,
    ResolvedModel,
    Role,
    StudyRecord,
    SweepMember,
    SweepRecord,
)

SWEEP: dict[str, Any] = {
    "name": "mini",
    "size": "tiny",
    "matching": "parameter_matched",
    "convention": "published",
    "data": {"corpus": "sotu", "tokenizer": {"kind": "byte"}},
    "model": {"d_model": 64, "n_layers": 2, "seq_len": 32},
    "training": {
        "n_steps": 100,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "clip_norm": 0.25,
        "validate_every": 50,
        "checkpoint_every": 50,
    },
    "baseline": {"name": "dense", "n_heads": 8, "d_head": 8, "d_ff": 128, "seeds": [0, 1, 2]},
    "models": [
        {"kind": "dense", "name": "dense-h2", "n_heads": 2, "seeds": [0, 1, 2]},
        {
            "kind": "switchhead",
            "name": "switchhead-declared",
            "n_heads": 2,
            "n_experts": 4,
            "top_k": 2,
            "seeds": [0],
        },
    ],
    "studies": [
        {
            "name": "switchhead",
            "model": {"kind": "switchhead"},
            "space": {"n_heads": [1, 2], "n_experts": [2, 4], "top_k": [2]},
            "n_trials": 3,
            "seeds": [0, 1],
        }
    ],
    "paper": {"table": 2, "dataset": "wikitext103", "params": 47},
}
STUDY = Study.model_validate(SWEEP["studies"][0])
COMMIT = "c" * 40
MANIFEST = {"digest": "d" * 64, "unigram_perplexity": {"validation": 512.25, "test": 498.0}}


def point_of(n_heads: int, n_experts: int) -> Point:
    return {"n_heads": n_heads, "n_experts": n_experts, "top_k": 2}


def make_result(config: RunConfig, perplexity: float, **changes: Any) -> RunResult:
    from switchhead_lab.budget.parameters import count_parameters

    values: dict[str, Any] = {
        "validation_loss_nats": 3.5,
        "validation_perplexity": perplexity,
        "validation_bits_per_byte": 1.5,
        "test_loss_nats": 3.6,
        "test_perplexity": perplexity + 1.0,
        "test_bits_per_byte": 1.6,
        "n_parameters": count_parameters(config.model, config.vocab_size).total,
        "n_steps": config.training.n_steps,
        "n_tokens": config.training.n_steps * config.tokens_per_step,
        "ms_per_step": 2.0 * perplexity,
        "tokens_per_second": 1000.0 + perplexity,
        "training_seconds": 10.0,
        "device": "cpu (test)",
        "precision": "fp32",
    }
    return RunResult(**(values | changes))


@dataclass
class RecordWriter:
    """Writes run directories and collects them into a sweep record."""

    runs_dir: Path
    sweep: Sweep
    members: list[SweepMember] = field(default_factory=list)
    infeasible: list[InfeasibleCandidate] = field(default_factory=list)

    def config(self, model: ModelConfig, seed: int) -> RunConfig:
        return RunConfig(seed=seed, data=self.sweep.data, model=model, training=self.sweep.training)

    def add(
        self,
        name: str,
        role: Role,
        model: ModelConfig,
        seed: int,
        perplexity: float | None,
        *,
        state: RunState = "finished",
        reason: str = "",
        trial_number: int | None = None,
        point: Point | None = None,
        provenance: dict[str, Any] | None = None,
        diff: str = "",
        validations: Mapping[int, float] | None = None,
        router: Mapping[str, float] | None = None,
        **changes: Any,
    ) -> Path:
        """Write one run; without a perplexity it ends in `state`. Return its directory.

        `validations` are recorded losses by step, `router` the metrics of routers beside them.
        """
        config = self.config(model, seed)
        labels = RunLabels(size=self.sweep.size, variant=name, sweep=self.sweep.name)
        if provenance is None:
            provenance = {"git": {"commit": COMMIT}, "data_manifest": MANIFEST}
        provenance = {"code": code_of(config).as_data(), **provenance}
        run = RunDir.open(self.runs_dir, config, labels, provenance, diff.encode())
        for step, loss in (validations or {}).items():
            metrics = {"validation/loss_nats": loss, **(router or {})}
            run.add(MetricPoint(step, step * config.tokens_per_step, 1.0 + step, metrics))
        if perplexity is None:
            run.close(state, 50, reason)
        else:
            run.finish(make_result(config, perplexity, **changes))
        self.members.append(
            SweepMember(
                model=name,
                role=role,
                seed=seed,
                run_name=run.path.name,
                run_hash=identity(config),
                state=state,
                trial_number=trial_number,
                point=point or {},
                reason=reason,
            )
        )
        return run.path

    def forget(self, name: str, seed: int) -> None:
        """Remove a run from the record, as if the sweep had not reached it yet."""
        self.members = [m for m in self.members if (m.model, m.seed) != (name, seed)]

    def record(self, updated_at: float = 2.0) -> SweepRecord:
        return SweepRecord(
            sweep=self.sweep,
            studies={
                study.name: StudyRecord(
                    storage_name="study",
                    n_feasible=4 - len(self.infeasible),
                    infeasible=self.infeasible,
                )
                for study in self.sweep.studies
            },
            models=list(self.resolved()),
            started_at=1.0,
            updated_at=updated_at,
            members=self.members,
        )

    def resolved(self) -> Iterator[ResolvedModel]:
        """Yield every model of the sweep, as the executor records it."""
        for variant in declared_variants(self.sweep):
            yield resolved_model(self.sweep, variant)
        for study in self.sweep.studies:
            for shape in itertools.product((1, 2), (2, 4), (2,)):
                yield resolved_model(self.sweep, self.candidate(study, *shape))

    def candidate(self, study: Study, n_heads: int, n_experts: int, top_k: int) -> Variant:
        point: Point = {"n_heads": n_heads, "n_experts": n_experts, "top_k": top_k}
        found = candidate_variant(self.sweep, study, point)
        assert isinstance(found, Variant)
        return found

    def write(self, updated_at: float = 2.0) -> SweepRecord:
        record = self.record(updated_at)
        SweepDir.of(self.runs_dir, record.sweep).write(record)
        return record

    def dense(self) -> ModelConfig:
        return baseline_model(self.sweep)

    def head_matched(self) -> ModelConfig:
        model = self.sweep.models[0]
        return match_heads(self.dense(), model.n_heads)

    def switchhead(self, n_heads: int, n_experts: int, top_k: int) -> ModelConfig:
        study = self.sweep.studies[0] if self.sweep.studies else STUDY
        return self.candidate(study, n_heads, n_experts, top_k).model

    def fill_models(self) -> None:
        """Write every run of the baseline and the declared models."""
        for seed, perplexity in enumerate([35.0, 35.5, 36.0]):
            self.add("dense", "baseline", self.dense(), seed, perplexity)
        for seed, perplexity in enumerate([37.0, 37.1, 37.5]):
            self.add("dense-h2", "declared", self.head_matched(), seed, perplexity)
        self.add("switchhead-declared", "declared", self.switchhead(2, 4, 2), 0, 35.25)

    def fill_study(self) -> None:
        """Write a study of three candidates, one pruned, and one infeasible combination."""
        name, best = "switchhead", self.switchhead(1, 4, 2)
        chosen = point_of(1, 4)
        self.add(name, "candidate", best, 0, 34.5, trial_number=0, point=chosen)
        self.add(
            name,
            "candidate",
            self.switchhead(2, 2, 2),
            0,
            None,
            state="pruned",
            reason="worse than the median | step 50",
            trial_number=1,
            point=point_of(2, 2),
        )
        third = self.switchhead(1, 2, 2)
        self.add(name, "candidate", third, 0, 36.5, trial_number=3, point=point_of(1, 2))
        self.infeasible.append(
            InfeasibleCandidate(trial_number=2, point=point_of(2, 4), reason="no d_head of 4 fits")
        )
        self.add(name, "best", best, 0, 34.5, point=chosen)
        self.add(name, "best", best, 1, 34.75, point=chosen)


@pytest.fixture
def make_writer(tmp_path: Path) -> Callable[..., RecordWriter]:
    """Return a factory of record writers in tmp_path; keywords replace keys of the declaration."""

    def make(**changes: Any) -> RecordWriter:
        values = {key: value for key, value in (SWEEP | changes).items() if value is not None}
        return RecordWriter(tmp_path / "runs", Sweep.model_validate(values))

    return make


@pytest.fixture
def complete(make_writer: Callable[..., RecordWriter]) -> RecordWriter:
    """Return a sweep in which every run has a result or was pruned."""
    writer = make_writer()
    writer.fill_models()
    writer.fill_study()
    return writer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make tmp_path the workspace."""
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return tmp_path
