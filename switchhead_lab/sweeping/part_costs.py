"""Costs and progress of a sweep's parts, its models and searches (no torch)."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.search import Study, grid_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.estimate import (
    Speed,
    Speeds,
    done_run,
    estimated_seconds,
    speed_here,
    training_macs,
)
from switchhead_lab.sweeping.plan import (
    Variant,
    candidate_variants,
    config_of,
    declared_variants,
)
from switchhead_lab.tracking.code_identity import code_of, describe_change, recorded_code
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_record import sweep_id

# Combinations of a search space that are matched in order to estimate its cost.
_MOST_CANDIDATES = 200


@dataclass(frozen=True)
class PartCost:
    """Cost of one part of a sweep: a declared model, or the search.

    Attributes:
        name: Name of the model.
        n_runs: Runs of all seeds; for a search every trial and the best's other seeds.
        n_done: Runs that finished or were pruned.
        n_changed: How many of them were trained with different code; a sweep stops at these unless
            `--retrain` or `--reuse` says what to do.
        run_macs: MACs of one run, forward and backward, by the `equations` convention.
        run_seconds: Estimated time of one run on this machine; None if not measured.
        run_cpu_seconds: Estimated time of one run on a CPU; None if not measured.
        run_gpu_seconds: Estimated time of one run on a GPU; None if not measured.
    """

    name: str
    n_runs: int
    n_done: int
    n_changed: int
    run_macs: float
    run_seconds: float | None
    run_cpu_seconds: float | None
    run_gpu_seconds: float | None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time of the remaining runs on this machine."""
        if self.run_seconds is None:
            return None
        return self.run_seconds * (self.n_runs - self.n_done)

    @property
    def cpu_hours(self) -> float | None:
        """Estimated time of all runs on a CPU."""
        return None if self.run_cpu_seconds is None else self.run_cpu_seconds * self.n_runs / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Estimated time of all runs on a GPU."""
        return None if self.run_gpu_seconds is None else self.run_gpu_seconds * self.n_runs / 3600


def part_costs(sweep: Sweep, runs: Sequence[RunRecord], speeds: Speeds) -> list[PartCost]:
    """Return the cost of every part of a sweep, estimated from finished runs."""
    tuned = {study.name for study in sweep.tuning}
    costs = [
        _part_cost(variant, [config_of(sweep, variant, s) for s in variant.seeds], runs, speeds)
        for variant in declared_variants(sweep)
        if variant.name not in tuned
    ]
    return costs + [_study_cost(sweep, study, runs, speeds) for study in sweep.all_studies]


def _part_cost(
    variant: Variant, configs: Sequence[RunConfig], runs: Sequence[RunRecord], speeds: Speeds
) -> PartCost:
    has_source = variant.source is not None
    found = [done_run(config, runs, has_source=has_source) for config in configs]
    done = [run for run in found if run is not None]
    return PartCost(
        name=variant.name,
        n_runs=len(configs),
        n_done=len(done),
        n_changed=sum(map(_has_changed, done)),
        run_macs=statistics.fmean(training_macs(config) for config in configs),
        run_seconds=_mean_seconds(configs, speed_here(speeds)),
        run_cpu_seconds=_mean_seconds(configs, speeds.get("cpu")),
        run_gpu_seconds=_mean_seconds(configs, speeds.get("gpu")),
    )


def _mean_seconds(configs: Sequence[RunConfig], speed: Speed | None) -> float | None:
    if speed is None:
        return None
    return statistics.fmean(estimated_seconds(config, speed) for config in configs)


def _study_cost(sweep: Sweep, study: Study, runs: Sequence[RunRecord], speeds: Speeds) -> PartCost:
    """Return the cost of a search, estimated from its first feasible candidates."""
    candidates = itertools.islice(candidate_variants(sweep, study), _MOST_CANDIDATES)
    feasible = [
        *itertools.islice((v for v in candidates if isinstance(v, Variant)), study.n_trials)
    ]
    if not feasible:
        return PartCost(study.name, 0, 0, 0, 0.0, None, None, None)
    configs = [config_of(sweep, variant, study.seeds[0]) for variant in feasible]
    cost = _part_cost(feasible[0], configs, runs, speeds)
    n_candidates = study.n_trials if grid_of(study) is None else len(feasible)
    n_runs = n_candidates + len(study.seeds) - 1
    # A sampler's own candidates are known only from the runs themselves.
    own = [run for run in runs if _belongs_to(run, sweep, study)]
    n_changed = max(cost.n_changed, sum(map(_has_changed, own)))
    return replace(
        cost,
        n_runs=n_runs,
        n_done=min(max(cost.n_done, len(own)), n_runs),
        n_changed=min(n_changed, n_runs),
    )


def _has_changed(run: RunRecord) -> bool:
    """Return whether the code of a run has changed since it was trained."""
    return bool(describe_change(recorded_code(run.provenance), code_of(run.config)))


def _belongs_to(run: RunRecord, sweep: Sweep, study: Study) -> bool:
    """Return whether a run was trained for a search, as a candidate or for another seed."""
    is_done = run.result is not None or run.status.state == "pruned"
    return is_done and (run.labels.sweep, run.labels.variant) == (sweep_id(sweep), study.name)
