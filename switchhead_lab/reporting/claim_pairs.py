"""The pairs of runs that a claim compares, and what is missing of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from switchhead_lab.config.claimed import Quantity, TaskQuantity
from switchhead_lab.config.claims import Claim
from switchhead_lab.reporting.report_data import MemberRun, ModelRow, ReportData
from switchhead_lab.reporting.zero_shot_values import gaps_of, task_value


@dataclass(frozen=True)
class Pair:
    """Two finished runs of one seed.

    Attributes:
        model: Run of the model that a claim is about.
        versus: Run of the one it is compared with.
    """

    model: MemberRun
    versus: MemberRun


@dataclass(frozen=True)
class ComparedRuns:
    """The runs that a claim compares.

    Attributes:
        quantity: What is compared; None for a claim about costs only.
        pairs: Pairs of runs that have it, in the order of the seeds.
        looks: Pairs of seeds at each recorded look, and at the present one.
        gaps: Models of a claim about quality that lack runs, one sentence each.
        unevaluated: Zero-shot results that a claim about them lacks, one sentence each.
    """

    quantity: Quantity | None
    pairs: tuple[Pair, ...]
    looks: tuple[int, ...]
    gaps: tuple[str, ...] = ()
    unevaluated: tuple[str, ...] = ()


def compared_runs(data: ReportData, claim: Claim) -> ComparedRuns:
    """Return the runs that a claim compares.

    Args:
        data: The sweep's runs.
        claim: The claim, with its names filled in.
    """
    rows = {row.name: row for row in data.models}
    model, versus = rows[claim.model], rows[claim.versus]
    pairs = _finished_pairs(model, versus)
    if claim.quality is None:
        return ComparedRuns(None, tuple(pairs), _looks(data, claim, len(pairs)))
    quantity = data.record.sweep.quantity_of(claim.quality)
    unevaluated: tuple[str, ...] = ()
    if isinstance(quantity, TaskQuantity):
        # Sorted by model, as sentences name seeds by model.
        runs = [*(pair.model for pair in pairs), *(pair.versus for pair in pairs)]
        unevaluated = tuple(gaps_of(quantity, runs))
        pairs = [pair for pair in pairs if _is_evaluated(pair, quantity)]
    looks = _looks(data, claim, len(pairs))
    gaps = tuple(_gaps(row for row in data.models if row in (model, versus)))
    return ComparedRuns(quantity, tuple(pairs), looks, gaps, unevaluated)


def value_of(run: MemberRun, quantity: Quantity) -> float:
    """Return a quantity of a run that has it, as recorded; NaN if it is infinite."""
    if isinstance(quantity, TaskQuantity):
        value = task_value(run, quantity)
    else:
        assert run.result is not None, "pairs are of finished runs"
        value = run.result.value(quantity.split, quantity.metric)
    return math.nan if value is None else value


def _finished_pairs(model: ModelRow, versus: ModelRow) -> list[Pair]:
    """Return the pairs of finished runs, in the order of the seeds.

    The seed that selected a searched model does not count: its run is the best of many.
    """
    chosen = {row.seeds[0] for row in (model, versus) if row.role == "best"}
    others = {run.member.seed: run for run in versus.finished}
    return [
        Pair(run, others[run.member.seed])
        for run in model.finished
        if run.member.seed in others and run.member.seed not in chosen
    ]


def _is_evaluated(pair: Pair, quantity: TaskQuantity) -> bool:
    return all(task_value(run, quantity) is not None for run in (pair.model, pair.versus))


def _looks(data: ReportData, claim: Claim, n_pairs: int) -> tuple[int, ...]:
    earlier = [n for n in data.record.looks.get(claim.title, []) if n < n_pairs]
    return (*earlier, n_pairs)


def _gaps(rows: Iterable[ModelRow]) -> Iterator[str]:
    """Yield the models that lack runs."""
    for row in rows:
        if not row.is_complete:
            yield f"{row.name} has {len(row.finished)} of {len(row.seeds)} seeds."


def names_of(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the names of the runs of pairs."""
    return tuple(run.member.run_name for pair in pairs for run in (pair.model, pair.versus))
