"""Reads a sweep record and its run directories into the rows of a report."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.search import Point, Study, objectives_of
from switchhead_lab.errors import LabError
from switchhead_lab.objectives.base import Objective
from switchhead_lab.reporting.pareto import pareto_front
from switchhead_lab.reporting.quality import MeasuredQuantity, Quality
from switchhead_lab.reporting.statistics import MISSING, Statistics
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.record import (
    MetricPoint,
    RunRecord,
    RunResult,
    read_mlflow_link,
    read_run,
)
from switchhead_lab.tracking.sweep_record import (
    InfeasibleCandidate,
    ResolvedModel,
    Role,
    SweepMember,
    SweepRecord,
    read_objective,
)


@dataclass(frozen=True)
class PrintedSizes:
    """Sizes of a model that tables print; None if unknown.

    Attributes:
        n_heads: Attention heads.
        n_experts: Experts of each head; None for a dense model.
        top_k: Experts chosen per token; None for a dense model.
        d_head: Width of each head; None if unknown.
        d_ff: Feed-forward width; None if unknown.
    """

    n_heads: int | None = None
    n_experts: int | None = None
    top_k: int | None = None
    d_head: int | None = None
    d_ff: int | None = None


@dataclass(frozen=True)
class MemberRun:
    """A run of the sweep, as read from its directory.

    Attributes:
        member: Its entry in the sweep record.
        run: The run as read; None if its directory is missing or unusable.
        state: State of the run, "missing" or "damaged".
        reason: Why there is no result, if known.
    """

    member: SweepMember
    run: RunRecord | None
    state: str
    reason: str = ""

    @property
    def result(self) -> RunResult | None:
        """Figures of the run; None unless it finished."""
        return None if self.run is None else self.run.result

    @cached_property
    def points(self) -> list[MetricPoint]:
        """Its recorded points, read once; none without a readable directory."""
        return [] if self.run is None else list(self.run.metrics())

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the run in MLflow, if its directory has one."""
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
        sizes: Sizes of its runs, else those that the sweep resolved.
        resolved: Its entry in the sweep record; None if its sizes are unknown.
        seeds: Declared seeds.
        runs: Runs of the declared seeds, in that order; seeds that never started have none.
        excluded_runs: Names of runs excluded for a different architecture.
        point: Values of the searched fields; empty for a model that was not searched.
    """

    name: str
    role: Role
    family: str
    sizes: PrintedSizes
    resolved: ResolvedModel | None
    seeds: tuple[int, ...]
    runs: tuple[MemberRun, ...]
    excluded_runs: tuple[str, ...] = ()
    point: Point = field(default_factory=dict)

    @property
    def costs(self) -> ModelCosts | None:
        """Size and costs; None if the sizes are unknown."""
        return None if self.resolved is None else self.resolved.costs

    @cached_property
    def finished(self) -> list[MemberRun]:
        """Runs with a result."""
        return [run for run in self.runs if run.result is not None]

    @property
    def is_complete(self) -> bool:
        """Whether every declared seed has a result."""
        return len(self.finished) == len(self.seeds)

    @property
    def selection_seed(self) -> int | None:
        """Seed with which the model was selected among candidates; None if it was not."""
        return self.seeds[0] if self.point else None

    @cached_property
    def counted(self) -> list[MemberRun]:
        """Runs behind the means: without the one that selected the model, if there are others."""
        others = [run for run in self.finished if run.member.seed != self.selection_seed]
        return others or self.finished

    def statistics(self, quantity: MeasuredQuantity) -> Statistics:
        """Return one measured quantity over the counted seeds."""
        n_left_out = len(self.finished) - len(self.counted)
        return _statistics(self.counted, quantity, len(self.seeds) - n_left_out)

    def statistics_of_all(self, quantity: MeasuredQuantity) -> Statistics:
        """Return one measured quantity over the finished seeds, including the selection seed."""
        return _statistics(self.finished, quantity, len(self.seeds))

    def devices(self) -> set[tuple[str, str]]:
        """Return device and arithmetic of the finished runs."""
        results = [run.result for run in self.finished]
        return {(result.device, result.precision) for result in results if result}


def _statistics(
    runs: Sequence[MemberRun], quantity: MeasuredQuantity, n_expected: int
) -> Statistics:
    values = [quantity.read(run.result) for run in runs if run.result is not None]
    return Statistics(tuple(values), n_expected)


@dataclass(frozen=True)
class CandidateRow:
    """One candidate of a study.

    Attributes:
        study: Name of the study.
        point: Values of the searched fields.
        trial_number: Number of the Optuna trial; None if the record has none.
        sizes: Its sizes.
        costs: Size and costs; None if the sizes are unknown.
        quality: Headline metric of the validation split; None unless it finished.
        state: State of its run, or "infeasible".
        reason: Why there is no result.
        run: Its run; None for an infeasible candidate.
        is_pareto: Whether it is in the Pareto set, for studies with two objectives.
    """

    study: str
    point: Point
    trial_number: int | None
    sizes: PrintedSizes
    costs: ModelCosts | None
    quality: float | None
    state: str
    reason: str
    run: MemberRun | None
    is_pareto: bool = False

    @property
    def key(self) -> str:
        """Name of the candidate in tables."""
        if self.trial_number is not None:
            return str(self.trial_number)
        return self.run.member.run_name if self.run else MISSING


@dataclass(frozen=True)
class ReportData:
    """The data behind a report.

    Attributes:
        record: The sweep record.
        models: The baseline, declared models in order, then the best of each search.
        candidates: Candidates of each study by trial number.
        sweeps_dir: Folder of sweep files, for commands; None if unknown.
    """

    record: SweepRecord
    models: tuple[ModelRow, ...]
    candidates: tuple[CandidateRow, ...]
    sweeps_dir: Path | None = None

    @property
    def quality(self) -> Quality:
        """The quality metric to report."""
        return Quality(self.record.sweep.objective.headline)

    @property
    def baseline(self) -> ModelRow:
        """The dense baseline."""
        return self.models[0]

    @property
    def runs(self) -> list[MemberRun]:
        """Every run behind the report, without duplicates, sorted by name."""
        runs = {run.member.run_name: run for row in self.models for run in row.runs}
        for row in self.candidates:
            if row.run is not None:
                runs.setdefault(row.run.member.run_name, row.run)
        return [runs[name] for name in sorted(runs)]

    @property
    def records(self) -> list[RunRecord]:
        """Records of the readable runs."""
        return [run.run for run in self.runs if run.run is not None]


def read_report_data(
    record: SweepRecord, runs_dir: Path, sweeps_dir: Path | None = None
) -> ReportData:
    """Read the runs of a sweep into rows, including missing and unusable runs.

    Args:
        record: The sweep record.
        runs_dir: Folder of all runs.
        sweeps_dir: Folder of sweep files, for the commands that a report prints.
    """
    rows = []
    for declared in _declared_models(record):
        members = [
            member
            for member in record.members
            if (member.role, member.model) == (declared.role, declared.name)
        ]
        runs = [_read_member(runs_dir, member) for member in members]
        rows.append(_model_row(record, declared, runs))
    candidates = tuple(_candidate_rows(record, runs_dir))
    return ReportData(record, tuple(rows), candidates, sweeps_dir)


@dataclass(frozen=True)
class _Declared:
    """A model of a sweep; the architecture of a search's best is not declared."""

    name: str
    role: Role
    seeds: Sequence[int]
    architecture: ModelConfig | None = None


def _declared_models(record: SweepRecord) -> Iterator[_Declared]:
    sweep, resolved = record.sweep, {known.name: known.model for known in reversed(record.models)}
    baseline = sweep.baseline
    yield _Declared(baseline.name, "baseline", baseline.seeds, resolved.get(baseline.name))
    for model in sweep.models:
        yield _Declared(model.name, "declared", model.seeds, resolved.get(model.name))
    for study in sweep.studies:
        yield _Declared(study.name, "best", study.seeds)


def _model_row(record: SweepRecord, declared: _Declared, runs: Iterable[MemberRun]) -> ModelRow:
    """Return the row of one model; a later run replaces an earlier one of the same seed."""
    by_seed = {run.member.seed: run for run in runs}
    asked = [by_seed[seed] for seed in declared.seeds if seed in by_seed]
    # The trained architecture counts, even if matching would give another one now.
    trained = [run.run.config.model for run in asked if run.run is not None]
    architecture = trained[-1] if trained else declared.architecture
    same = [run for run in asked if run.run is None or run.run.config.model == architecture]
    return ModelRow(
        name=declared.name,
        role=declared.role,
        family=architecture.family if architecture else "",
        sizes=_sizes(architecture),
        resolved=record.resolved(architecture, declared.name) if architecture else None,
        seeds=tuple(declared.seeds),
        runs=tuple(same),
        excluded_runs=tuple(run.member.run_name for run in asked if run not in same),
        point=asked[-1].member.point if asked else {},
    )


def _candidate_rows(record: SweepRecord, runs_dir: Path) -> Iterator[CandidateRow]:
    for study in record.sweep.all_studies:
        rows = [
            _candidate_row(_read_member(runs_dir, member), record)
            for member in record.members
            if (member.role, member.model) == ("candidate", study.name)
        ]
        if study.name in record.studies:
            infeasible = record.studies[study.name].infeasible
            rows += [_infeasible_row(study.name, candidate) for candidate in infeasible]
        rows.sort(key=lambda row: (row.trial_number is None, row.trial_number or 0, row.key))
        yield from _with_pareto_set(study, record.sweep.objective, rows)


def _with_pareto_set(
    study: Study, objective: Objective, rows: Sequence[CandidateRow]
) -> list[CandidateRow]:
    """Mark the Pareto set of a study with two objectives."""
    objectives = objectives_of(study, objective)
    if len(objectives) < 2:
        return list(rows)
    first, second = objectives
    values = {
        number: tuple(
            one.sign * read_objective(one, row.run.result, row.costs) for one in (second, first)
        )
        for number, row in enumerate(rows)
        if row.run is not None and row.run.result is not None and row.costs is not None
    }
    front = pareto_front((cost, loss) for cost, loss in values.values())
    return [replace(row, is_pareto=values.get(n) in front) for n, row in enumerate(rows)]


def _candidate_row(run: MemberRun, record: SweepRecord) -> CandidateRow:
    architecture = run.run.config.model if run.run else None
    result = run.result
    return CandidateRow(
        study=run.member.model,
        point=run.member.point,
        trial_number=run.member.trial_number,
        sizes=_sizes(architecture),
        costs=record.costs_of(architecture) if architecture else None,
        quality=result.value("validation", record.sweep.objective.headline) if result else None,
        state=run.state,
        reason=run.reason,
        run=run,
    )


def _infeasible_row(study: str, candidate: InfeasibleCandidate) -> CandidateRow:
    point = candidate.point
    sizes = {name: point[name] for name in ("n_heads", "n_experts", "top_k") if name in point}
    return CandidateRow(
        study=study,
        point=point,
        trial_number=candidate.trial_number,
        sizes=PrintedSizes(**sizes),  # type: ignore[arg-type]
        costs=None,
        quality=None,
        state="infeasible",
        reason=candidate.reason,
        run=None,
    )


def _read_member(runs_dir: Path, member: SweepMember) -> MemberRun:
    """Read the directory of a member; problems become its state and reason."""
    directory = runs_dir / member.run_name
    if not directory.is_dir():
        return MemberRun(member, None, "missing", "no run directory")
    try:
        run = read_run(directory)
    except LabError as error:
        # Without the folder, so that reports do not depend on where runs are stored.
        return MemberRun(member, None, "damaged", str(error).replace(f"{runs_dir}/", ""))
    if run.run_hash != member.run_hash:
        return MemberRun(member, None, "damaged", "the directory holds another configuration")
    if run.result is None:
        return MemberRun(member, run, observed_state(run), run.status.reason or member.reason)
    return MemberRun(member, run, "finished")


def _sizes(model: ModelConfig | None) -> PrintedSizes:
    if model is None:
        return PrintedSizes()
    attention, experts = model.attention, model.attention.experts
    return PrintedSizes(
        n_heads=attention.n_heads,
        n_experts=experts.n_experts if experts else None,
        top_k=experts.n_chosen if experts else None,
        d_head=attention.d_head,
        d_ff=model.feedforward.width,
    )
