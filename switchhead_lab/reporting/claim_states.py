"""The state of a sweep's claims, for adding seeds until they are decided."""

from collections.abc import Iterator
from pathlib import Path

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.reporting.claim_table import StatedClaim, read_claims
from switchhead_lab.reporting.report_data import ReportData, read_report_data
from switchhead_lab.reporting.resources import read_step_times
from switchhead_lab.tracking.claim_state import ClaimState
from switchhead_lab.tracking.sweep_record import SweepRecord


def claim_states(record: SweepRecord, runs_dir: Path, reports_dir: Path) -> list[ClaimState]:
    """Return the state of every claim about quality.

    Args:
        record: The sweep's record.
        runs_dir: Folder of all runs.
        reports_dir: Folder of all reports, with timings.
    """
    data = read_report_data(record, runs_dir)
    claims = read_claims(data, read_step_times(data, reports_dir))
    return list(_states(data, claims))


def _states(data: ReportData, claims: list[StatedClaim]) -> Iterator[ClaimState]:
    costs = {row.name: row.costs for row in data.models}
    for stated in claims:
        claim, n_pairs = stated.claim, stated.looks[-1]
        if claim.quality is None:
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
