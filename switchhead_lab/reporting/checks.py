"""Gaps and warnings that a reader of a report must know, one sentence each."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from switchhead_lab.config.search import (
    Study,
    StudyObjective,
    describe_point,
    key_of,
    objectives_of,
    tuned_paths,
)
from switchhead_lab.reporting.code_checks import code_identity_lines
from switchhead_lab.reporting.cost_table import off_budget_lines
from switchhead_lab.reporting.report_data import CandidateRow, ModelRow, ReportData
from switchhead_lab.reporting.zero_shot_values import unevaluated_lines
from switchhead_lab.tracking.file_names import DIFF_FILE
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_record import SweepRecord, read_objective

_RESOLVED = ("finished", "pruned", "failed")


def incomplete_lines(data: ReportData) -> list[str]:
    """Return the missing runs of a sweep, and missing evaluations; empty if complete."""
    lines = [
        f"INCOMPLETE: {row.name} has {len(row.finished)} of {len(row.seeds)} seeds "
        f"({'; '.join(seed_gaps(row))})."
        for row in data.models
        if not row.is_complete
    ]
    for study in data.record.sweep.all_studies:
        rows = [row for row in data.candidates if row.study == study.name]
        tried = {key_of(row.point) for row in rows if row.state in _RESOLVED}
        expected = _n_expected_candidates(study, data.record)
        if len(tried) < expected:
            open_ones = [row for row in rows if row.state not in _RESOLVED]
            states = [f"trial {row.key} {row.state}" for row in open_ones if row.run is not None]
            detail = f" ({'; '.join(states)})" if states else ""
            lines.append(
                f"INCOMPLETE: the search of {study.name} tried {len(tried)} of {expected} "
                f"candidates{detail}."
            )
    return [*lines, *unevaluated_lines(data)]


def warning_lines(data: ReportData) -> list[str]:
    """Return warnings about what makes the runs of a report less comparable."""
    return [
        *_data_warnings(data),
        *_code_warnings(data),
        *code_identity_lines(data),
        *_drift_warnings(data),
        *_device_warnings(data),
        *_model_warnings(data),
        *off_budget_lines(data),
        *_tuning_warnings(data),
        *_search_warnings(data),
    ]


def _drift_warnings(data: ReportData) -> Iterable[str]:
    """Yield runs that were continued under other conditions than they started with."""
    for record in data.records:
        drift = record.provenance.get("drift") or []
        if drift:
            yield (
                f"WARNING: {record.name} was continued under other conditions than it started "
                f"({'; '.join(drift)}); its figures belong to neither."
            )


def trivial_values(data: ReportData) -> list[float]:
    """Return the distinct headline metrics of the objective's trivial model, as recorded."""
    trivial = data.record.sweep.objective.trivial
    if trivial is None:
        return []
    values = {trivial.value(_manifest(record)) for record in data.records}
    return sorted(value for value in values if value is not None)


def commit_of(record: RunRecord) -> str | None:
    """Return the commit of a run, if its provenance has one."""
    git = record.provenance.get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return str(commit) if commit else None


def is_dirty(record: RunRecord) -> bool:
    """Whether a run was made with uncommitted changes."""
    git = record.provenance.get("git")
    path = record.directory / DIFF_FILE
    has_diff = path.is_file() and path.stat().st_size > 0
    return has_diff or (isinstance(git, dict) and git.get("dirty") is True)


def _is_unknown(record: RunRecord) -> bool:
    """Whether git found the commit of a run but not whether there were uncommitted changes."""
    git = record.provenance.get("git")
    return isinstance(git, dict) and git.get("dirty", False) is None


def data_digest(record: RunRecord) -> str | None:
    """Return the digest of a run's tokens, if its provenance has one."""
    digest = _manifest(record).get("digest")
    return str(digest) if digest else None


def _manifest(record: RunRecord) -> dict[str, Any]:
    manifest = record.provenance.get("data_manifest")
    return manifest if isinstance(manifest, dict) else {}


def seed_gaps(row: ModelRow) -> Iterable[str]:
    """Yield the seeds of a model without a result, each with its state and reason."""
    by_seed = {run.member.seed: run for run in row.runs}
    for seed in row.seeds:
        run = by_seed.get(seed)
        if run is None:
            yield f"seed {seed} never started"
        elif run.result is None:
            reason = f": {' '.join(run.reason.split())}" if run.reason else ""
            yield f"seed {seed} {run.state}{reason}"


def _n_expected_candidates(study: Study, record: SweepRecord) -> int:
    """Return the number of candidates to train: as declared, or all feasible ones if fewer."""
    known = record.studies.get(study.name)
    n_feasible = None if known is None else known.n_feasible
    return study.n_trials if n_feasible is None else min(study.n_trials, n_feasible)


def _data_warnings(data: ReportData) -> Iterable[str]:
    digests = {data_digest(record) for record in data.records} - {None}
    if len(digests) > 1:
        yield (
            f"WARNING: the runs saw {len(digests)} different versions of the data; "
            "their results are not comparable."
        )


def _code_warnings(data: ReportData) -> Iterable[str]:
    commits = {commit_of(record) for record in data.records} - {None}
    if len(commits) > 1:
        yield f"Note: the runs come from {len(commits)} commits."
    dirty = [record for record in data.records if is_dirty(record)]
    if dirty:
        yield (
            f"Note: {len(dirty)} of {len(data.records)} runs were made with uncommitted changes, "
            "kept in their directories."
        )
    unknown = [record for record in data.records if _is_unknown(record)]
    if unknown:
        yield (
            f"Note: for {len(unknown)} of {len(data.records)} runs git could not tell whether "
            "there were uncommitted changes."
        )


def _device_warnings(data: ReportData) -> Iterable[str]:
    devices = set().union(*(row.devices() for row in data.models))
    if len({precision for _, precision in devices}) > 1:
        yield "WARNING: the runs differ in arithmetic, so small differences mean nothing."
    if len(devices) > 1:
        yield ("Note: the runs differ in device or arithmetic, and so do the times of their steps.")


def _model_warnings(data: ReportData) -> Iterable[str]:
    objective = data.record.sweep.objective
    metric, trivial = objective.headline, objective.trivial
    trivial_scores = [metric.scale * value for value in trivial_values(data)]
    for row in data.models:
        if row.excluded_runs:
            yield (
                f"WARNING: {row.name}: runs excluded for a different architecture: "
                f"{', '.join(row.excluded_runs)}."
            )
        mean = row.statistics(data.quality.validation).mean
        is_above_trivial = mean is None or all(metric.is_better(mean, s) for s in trivial_scores)
        if trivial and not is_above_trivial:
            yield f"WARNING: {row.name} is no better than {trivial.name}; it is not trained."
        counts = {run.result.n_parameters for run in row.finished if run.result}
        if row.costs and counts - {row.costs.n_parameters}:
            yield (
                f"WARNING: {row.name} was built with {', '.join(f'{n:,}' for n in sorted(counts))} "
                f"parameters, the budget says {row.costs.n_parameters:,}."
            )


def _tuning_warnings(data: ReportData) -> Iterable[str]:
    """Yield models whose training was tuned, or which started, differently from the others."""
    sweep = data.record.sweep
    sources = {name: entry.source for name, entry in sweep.entries.items() if entry.source}
    for name, source in sources.items():
        yield (
            f"WARNING: {name} starts from the weights of {source}, so it has the training of "
            f"{source} in addition to its own."
        )
    for model in sweep.models:
        if model.training:
            own = describe_point({f"training.{name}": x for name, x in model.training.items()})
            yield f"WARNING: {model.name} was trained differently from the other models: {own}."
    for study in sweep.studies:
        alone = [path for path in tuned_paths(study.space) if path not in sweep.tuned_space]
        if alone:
            yield (
                f"WARNING: {study.name} was searched over {', '.join(alone)}, over which the other "
                f"models were not tuned; add tune = {json.dumps(alone)} to the sweep."
            )


def _search_warnings(data: ReportData) -> Iterable[str]:
    for study in data.record.sweep.all_studies:
        rows = [row for row in data.candidates if row.study == study.name]
        failed = [row.key for row in rows if row.state == "failed"]
        if failed:
            yield f"Note: candidates of {study.name} that failed: trial {', '.join(failed)}."
        best = next((row for row in data.models if row.name == study.name and row.runs), None)
        objective = objectives_of(study, data.record.sweep.objective)[0]
        chosen = _best_candidate(objective, rows)
        if best is None or chosen is None or key_of(chosen.point) == key_of(best.point):
            continue
        yield (
            f"WARNING: {best.name} is not the candidate with the {objective.superlative}, which "
            f"is trial {chosen.key}."
        )


def _best_candidate(objective: StudyObjective, rows: Sequence[CandidateRow]) -> CandidateRow | None:
    """Return the best finished candidate by an objective."""
    values = {
        number: objective.sign * read_objective(objective, row.run.result, row.costs)
        for number, row in enumerate(rows)
        if row.run is not None and row.run.result is not None and row.costs is not None
    }
    return rows[min(values, key=lambda number: (values[number], number))] if values else None
