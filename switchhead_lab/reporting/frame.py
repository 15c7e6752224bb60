"""From a sweep record and its run directories to the rows of a report."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.matching import baseline_model, match_declared
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.declared import DeclaredModel
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import LabError, MatchError
from switchhead_lab.reporting.quality import Quality, Quantity, quality_of, read_quantity
from switchhead_lab.reporting.statistics import MISSING, Statistics
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.record import RunRecord, RunResult, read_mlflow_link, read_run
from switchhead_lab.tracking.sweep_record import (
    InfeasibleCandidate,
    Role,
    SweepMember,
    SweepRecord,
)


@dataclass(frozen=True)
class Shape:
    """What a model's attention and feed-forward look like, as far as it is known.

    Attributes:
        n_heads: Attention heads.
        n_experts: Experts of each head; None for a dense model.
        top_k: Experts chosen per token; None for a dense model.
        d_head: Width of each head; None where it is not known.
        d_ff: Feed-forward width; None where it is not known.
    """

    n_heads: int | None = None
    n_experts: int | None = None
    top_k: int | None = None
    d_head: int | None = None
    d_ff: int | None = None


@dataclass(frozen=True)
class Costs:
    """Size of a model and cost of one of its attention layers.

    Attributes:
        n_parameters: Parameters of the whole model.
        macs: Multiply-accumulates of an attention layer, one sequence, forward.
        memory_floats: Floats an attention layer keeps for the backward pass, one sequence.
    """

    n_parameters: int
    macs: int
    memory_floats: int


@dataclass(frozen=True)
class MemberRun:
    """A run that the sweep asked for, and what its directory says.

    Attributes:
        member: Entry of the sweep record.
        run: The run as read; None if its directory is missing or unusable.
        state: State of the run, "missing" or "damaged".
        reason: Why there is no result, where that is known.
    """

    member: SweepMember
    run: RunRecord | None
    state: str
    reason: str = ""

    @property
    def result(self) -> RunResult | None:
        """Figures of the run; None unless it finished."""
        return None if self.run is None else self.run.result

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the run in MLflow, where its directory names one."""
        if self.run is None:
            return None
        link = read_mlflow_link(self.run.directory)
        return None if link is None else link.get("run_id")


@dataclass(frozen=True)
class ModelRow:
    """One model of the comparison over its seeds.

    Attributes:
        name: Name in the sweep.
        role: "baseline", "declared" or "best".
        family: Model family, for figure legends and the paper's rows; empty if unknown.
        shape: Its shape: that of its runs, else the one its declaration is matched to.
        costs: Size and costs; None where the shape is not known.
        seeds: Declared seeds.
        runs: Runs of the declared seeds, in that order; a seed never asked for has none.
        strangers: Names of runs left out because their architecture is another one.
    """

    name: str
    role: Role
    family: str
    shape: Shape
    costs: Costs | None
    seeds: tuple[int, ...]
    runs: tuple[MemberRun, ...]
    strangers: tuple[str, ...] = ()

    @property
    def finished(self) -> list[MemberRun]:
        """Runs with a result."""
        return [run for run in self.runs if run.result is not None]

    @property
    def is_complete(self) -> bool:
        """Whether every declared seed has a result."""
        return len(self.finished) == len(self.seeds)

    def statistics(self, quantity: Quantity) -> Statistics:
        """Return one measured quantity over the finished seeds."""
        results = [run.result for run in self.finished]
        values = [read_quantity(result, quantity) for result in results if result is not None]
        return Statistics(tuple(values), len(self.seeds))

    def devices(self) -> set[tuple[str, str]]:
        """Return device and arithmetic of the finished runs."""
        results = [run.result for run in self.finished]
        return {(result.device, result.precision) for result in results if result}


@dataclass(frozen=True)
class CandidateRow:
    """One candidate of the study.

    Attributes:
        trial_number: Number of the Optuna trial, None where the record has none.
        shape: Its shape.
        costs: Size and costs; None where the shape is not known.
        validation_perplexity: None unless it finished.
        state: State of its run, or "infeasible".
        reason: Why there is no result.
        run: Its run; None for an infeasible candidate.
    """

    trial_number: int | None
    shape: Shape
    costs: Costs | None
    validation_perplexity: float | None
    state: str
    reason: str
    run: MemberRun | None

    @property
    def key(self) -> str:
        """What the candidate is called in tables."""
        if self.trial_number is not None:
            return str(self.trial_number)
        return self.run.member.run_name if self.run else MISSING


@dataclass(frozen=True)
class SweepFrame:
    """Everything a report shows, before it is written down.

    Attributes:
        record: The sweep record.
        models: Baseline first, declared models in their order, the study's best last.
        candidates: Candidates of the study by trial number.
    """

    record: SweepRecord
    models: tuple[ModelRow, ...]
    candidates: tuple[CandidateRow, ...]

    @property
    def quality(self) -> Quality:
        """How well a model does is told."""
        return quality_of(self.record.sweep.objective)

    @property
    def baseline(self) -> ModelRow:
        """The dense baseline."""
        return self.models[0]

    @property
    def runs(self) -> list[MemberRun]:
        """Every run behind the report, once each, by name."""
        runs = {run.member.run_name: run for row in self.models for run in row.runs}
        for row in self.candidates:
            if row.run is not None:
                runs.setdefault(row.run.member.run_name, row.run)
        return [runs[name] for name in sorted(runs)]

    @property
    def records(self) -> list[RunRecord]:
        """The readable ones among them."""
        return [run.run for run in self.runs if run.run is not None]


def read_frame(record: SweepRecord, runs_dir: Path) -> SweepFrame:
    """Read the runs of a sweep into rows; a run that is missing or unusable says so in its row."""
    sweep = record.sweep
    rows = []
    for declared in _declared_models(sweep):
        members = [m for m in record.members if m.role == declared.role]
        if declared.role == "declared":
            members = [member for member in members if member.model == declared.name]
        runs = [_read_member(runs_dir, member) for member in members]
        rows.append(_model_row(sweep, declared, runs))
    return SweepFrame(record, tuple(rows), tuple(_candidate_rows(record, runs_dir)))


@dataclass(frozen=True)
class _Declared:
    """A model as the sweep declares it; the architecture of a search's best is not declared."""

    name: str
    role: Role
    seeds: Sequence[int]
    architecture: ModelConfig | None = None


def _declared_models(sweep: Sweep) -> Iterator[_Declared]:
    baseline = sweep.baseline
    yield _Declared(baseline.name, "baseline", baseline.seeds, baseline_model(sweep))
    for model in sweep.models:
        yield _Declared(model.name, "declared", model.seeds, _matched(sweep, model))
    if sweep.study is not None:
        yield _Declared(sweep.study.name, "best", sweep.study.seeds)


def _matched(sweep: Sweep, model: DeclaredModel) -> ModelConfig | None:
    """Return the architecture that the matching rule gives a declared model, if there is one."""
    with contextlib.suppress(MatchError):
        return match_declared(sweep, model)
    return None


def _model_row(sweep: Sweep, declared: _Declared, runs: Iterable[MemberRun]) -> ModelRow:
    """Gather the runs of one model; a later run replaces an earlier one of its seed."""
    by_seed = {run.member.seed: run for run in runs}
    asked = [by_seed[seed] for seed in declared.seeds if seed in by_seed]
    # What was trained counts, even if today's matching rule would choose another architecture.
    trained = [run.run.config.model for run in asked if run.run is not None]
    architecture = trained[-1] if trained else declared.architecture
    same = [run for run in asked if run.run is None or run.run.config.model == architecture]
    return ModelRow(
        name=declared.name,
        role=declared.role,
        family=architecture.family if architecture else "",
        shape=_shape(architecture),
        costs=_costs(architecture, sweep),
        seeds=tuple(declared.seeds),
        runs=tuple(same),
        strangers=tuple(run.member.run_name for run in asked if run not in same),
    )


def _candidate_rows(record: SweepRecord, runs_dir: Path) -> list[CandidateRow]:
    members = [member for member in record.members if member.role == "candidate"]
    rows = [_candidate_row(_read_member(runs_dir, member), record.sweep) for member in members]
    rows += [_infeasible_row(candidate) for candidate in record.infeasible]
    return sorted(rows, key=lambda row: (row.trial_number is None, row.trial_number or 0, row.key))


def _candidate_row(run: MemberRun, sweep: Sweep) -> CandidateRow:
    architecture = run.run.config.model if run.run else None
    result = run.result
    return CandidateRow(
        trial_number=run.member.trial_number,
        shape=_shape(architecture),
        costs=_costs(architecture, sweep),
        validation_perplexity=result.validation_perplexity if result else None,
        state=run.state,
        reason=run.reason,
        run=run,
    )


def _infeasible_row(candidate: InfeasibleCandidate) -> CandidateRow:
    return CandidateRow(
        trial_number=candidate.trial_number,
        shape=Shape(candidate.n_heads, candidate.n_experts, candidate.top_k),
        costs=None,
        validation_perplexity=None,
        state="infeasible",
        reason=candidate.reason,
        run=None,
    )


def _read_member(runs_dir: Path, member: SweepMember) -> MemberRun:
    """Read the directory of a member; what keeps it from a result becomes its state and reason."""
    directory = runs_dir / member.run_name
    if not directory.is_dir():
        return MemberRun(member, None, "missing", "no run directory")
    try:
        run = read_run(directory)
    except LabError as error:
        # Without the folder, so that a report reads the same wherever the runs lie.
        return MemberRun(member, None, "damaged", str(error).replace(f"{runs_dir}/", ""))
    if run.run_hash != member.run_hash:
        return MemberRun(member, None, "damaged", "the directory holds another configuration")
    if run.result is None:
        return MemberRun(member, run, observed_state(run), run.status.reason or member.reason)
    return MemberRun(member, run, "finished")


def _shape(model: ModelConfig | None) -> Shape:
    if model is None:
        return Shape()
    attention, experts = model.attention, model.attention.experts
    return Shape(
        n_heads=attention.n_heads,
        n_experts=experts.n_experts if experts else None,
        top_k=experts.n_chosen if experts else None,
        d_head=attention.d_head,
        d_ff=model.feedforward.width,
    )


def _costs(model: ModelConfig | None, sweep: Sweep) -> Costs | None:
    if model is None:
        return None
    return Costs(
        n_parameters=count_parameters(model, sweep.vocab_size, sweep.n_outputs).total,
        macs=attention_macs(model, sweep.convention),
        memory_floats=attention_memory_floats(model, sweep.convention),
    )
