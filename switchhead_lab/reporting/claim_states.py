"""The state of a sweep's claims, for adding seeds until they are decided."""

from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.claims.state import ClaimState
from switchhead_lab.config.claimed import SplitQuantity
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.reporting.claim_pairs import compared_runs
from switchhead_lab.reporting.claim_table import StatedClaim, outlook, read_claims
from switchhead_lab.reporting.report_data import ReportData, read_report_data
from switchhead_lab.reporting.resources import read_step_times
from switchhead_lab.tracking.record import RunRecord, ScoredSplit
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord


def claim_states(record: SweepRecord, runs_dir: Path, reports_dir: Path) -> list[ClaimState]:
    """Return the state of every claim about quality that can be judged.

    Claims that lack zero-shot results of finished runs are left out: no seed can decide them.

    Args:
        record: The sweep's record.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports, with timings.
    """
    if not record.sweep.claims:  # reading all runs takes time
        return []
    data = read_report_data(record, runs_dir)
    claims = read_claims(data, read_step_times(data, reports_dir))
    return list(_states(data, claims))


def single_pairs(record: SweepRecord, runs_dir: Path) -> list[tuple[ScoredSplit, RunRecord]]:
    """Return the runs of claims about a split with a single pair, with the split."""
    if not record.sweep.claims:
        return []
    data = read_report_data(record, runs_dir)
    found: list[tuple[ScoredSplit, RunRecord]] = []
    for claim in record.sweep.stated_claims:
        compared = compared_runs(data, claim)
        if isinstance(compared.quantity, SplitQuantity) and len(compared.pairs) == 1:
            (pair,) = compared.pairs
            runs = [one.run for one in (pair.model, pair.versus) if one.run is not None]
            found += [(compared.quantity.split, run) for run in runs]
    return found


def claim_outlooks(sweep: Sweep, runs_dir: Path, reports_dir: Path, sweeps_dir: Path) -> list[str]:
    """Return a sentence for each claim of a sweep: its verdict so far, or the seeds it needs.

    Args:
        sweep: The sweep as declared.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports, with timings.
        sweeps_dir: Folder of sweep files, for commands.
    """
    if not sweep.claims:
        return []
    record = SweepDir.of(runs_dir, sweep).read_known()
    if record is None:
        return [
            f"claim {claim.title}: no run yet; at least 2 seeds of both models, at most "
            f"{claim.max_seeds}"
            for claim in sweep.stated_claims
        ]
    # With the seeds that were added to it, but claims and evaluation as they are declared now.
    now = {"claims": sweep.claims, "evaluation": sweep.evaluation}
    stated_now = record.sweep.model_copy(update=now)
    data = read_report_data(record.model_copy(update={"sweep": stated_now}), runs_dir, sweeps_dir)
    claims = read_claims(data, read_step_times(data, reports_dir))
    return [
        f"claim {stated.claim.title}: {stated.verdict_text}, {stated.looks[-1]} of "
        f"{stated.claim.max_seeds} seeds. {outlook(stated)}".rstrip()
        for stated in claims
    ]


def _states(data: ReportData, claims: list[StatedClaim]) -> Iterator[ClaimState]:
    costs = {row.name: row.costs for row in data.models}
    for stated in claims:
        claim, n_pairs = stated.claim, stated.looks[-1]
        if claim.quality is None or stated.compared.unevaluated:
            continue
        models = (claim.model, claim.versus)
        quality = stated.verdict.parts[0].verdict
        is_open = stated.verdict.verdict == "undecided" and quality == "undecided"
        yield ClaimState(
            name=claim.title,
            models=models,
            n_pairs=n_pairs,
            max_seeds=claim.max_seeds,
            needs_seeds=is_open and n_pairs < claim.max_seeds,
            prices=(_price(costs[models[0]]), _price(costs[models[1]])),
        )


def _price(costs: ModelCosts | None) -> float:
    """Return the MACs of a model per token by the first convention that defines them."""
    if costs is None:
        return 0.0
    known = [costs.model_macs_per_token(convention) for convention in costs.conventions]
    return next((macs for macs in known if macs is not None), float(costs.n_parameters))
