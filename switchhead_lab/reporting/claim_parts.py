"""The parts of a claim in words, each with its evidence: quality, counted costs, time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from switchhead_lab.budget.cost_axes import find_axis
from switchhead_lab.claims.verdict import Part, counted_part, quality_part, time_part
from switchhead_lab.config.claimed import Quantity, TaskQuantity
from switchhead_lab.config.claims import TIME, Claim, QualityClaim
from switchhead_lab.objectives.metrics import BITS_PER_BYTE, LOSS, Metric
from switchhead_lab.reporting.claim_pairs import ComparedRuns, Pair, names_of, value_of
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.resources import StepTimes
from switchhead_lab.reporting.zero_shot_values import results_of


@dataclass(frozen=True)
class StatedPart:
    """One part of a claim, in words.

    Attributes:
        name: What it is about: a metric, a cost, or "time".
        statement: What is claimed.
        short: The same for narrow tables.
        part: Its evidence.
        runs: Names of the runs behind it.
        metric: Metric that formats the estimate; None for a ratio.
    """

    name: str
    statement: str
    short: str
    part: Part
    runs: tuple[str, ...] = ()
    metric: Metric | None = None


def stated_parts(
    data: ReportData, times: StepTimes, claim: Claim, compared: ComparedRuns
) -> Iterator[StatedPart]:
    """Yield the parts of a claim: quality, counted costs, time.

    Args:
        data: The sweep's runs.
        times: Interleaved step times of its models.
        claim: The claim, with its names filled in.
        compared: The runs that it compares.
    """
    if claim.quality is not None and compared.quantity is not None:
        yield _quality(claim, claim.quality, compared.quantity, compared)
    rows = {row.name: row for row in data.models}
    model, versus = rows[claim.model], rows[claim.versus]
    for name, limit in claim.counted_costs.items():
        axis = find_axis(name, data.record.sweep.convention)
        label = ":".join(filter(None, (axis.kind.name, axis.convention)))
        values = [None if row.costs is None else axis.read(row.costs) for row in (model, versus)]
        ratio = None if None in values else values[0] / values[1]  # type: ignore[operator]
        yield _ratio(label, limit, claim.versus, counted_part(ratio, limit))
    if TIME in claim.cost:
        limit = claim.cost[TIME]
        rounds = [times.rounds_ms.get(name, []) for name in (claim.model, claim.versus)]
        ratios = [ours / theirs for ours, theirs in zip(*rounds, strict=False)]
        yield _ratio(TIME, limit, claim.versus, time_part(ratios, limit))


def _ratio(name: str, limit: float, versus: str, part: Part) -> StatedPart:
    return StatedPart(
        name, f"at most {limit:g} of {versus}", f"\N{LESS-THAN OR EQUAL TO} {limit:g}", part
    )


def _quality(
    claim: Claim, quality: QualityClaim, quantity: Quantity, compared: ComparedRuns
) -> StatedPart:
    metric, pairs = quantity.metric, compared.pairs
    values = [(value_of(one.model, quantity), value_of(one.versus, quantity)) for one in pairs]
    sign = 1.0 if metric.lower_is_better else -1.0
    worse = [sign * (ours - theirs) for ours, theirs in values]
    part = quality_part(quality, worse, compared.looks, claim.max_seeds)
    return StatedPart(
        name=quantity.label,
        statement=_statement(quality, metric, claim.versus)
        + _meaning(quality, quantity, pairs, claim.versus),
        short=_short_statement(quality, metric),
        # Runs with a complete evaluation are no random sample of the seeds.
        part=Part.unknown() if compared.unevaluated else part,
        runs=names_of(pairs),
        metric=metric,
    )


def _statement(quality: QualityClaim, metric: Metric, versus: str) -> str:
    margin = metric.text(quality.margin) if quality.margin else ""
    match quality.kind:
        case "equivalent":
            return f"within {margin} of {versus}"
        case "not_worse":
            return f"worse than {versus} by less than {margin}"
        case "better":
            return f"better than {versus}" + (f" by more than {margin}" if margin else "")


def _short_statement(quality: QualityClaim, metric: Metric) -> str:
    margin = metric.text(quality.margin)
    match quality.kind:
        case "equivalent":
            return f"\N{PLUS-MINUS SIGN}{margin}"
        case "not_worse":
            return f"< +{margin}"
        case "better":
            return f"< -{margin}" if quality.margin else "< 0"


def _meaning(quality: QualityClaim, quantity: Quantity, pairs: Sequence[Pair], versus: str) -> str:
    """Return a margin in other units, with its references, in parentheses; empty without any."""
    words: list[str] = []
    if quality.margin and quantity.metric == LOSS:
        words = list(_of_nats(quality.margin, quantity, pairs))
    elif quality.margin and quantity.metric.unit == "%":
        words = [f"{quality.margin:g} as recorded, in percentage points"]
    if isinstance(quantity, TaskQuantity):
        words += _beside(quality, quantity, pairs, versus)
    return f" ({', '.join(words)})" if words else ""


def _of_nats(margin: float, quantity: Quantity, pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield a margin in nats as a factor of perplexity, and in bits per byte.

    The share of it in bits per byte is that of the losses of the other model's first run.
    """
    yield f"perplexity within a factor of {math.exp(margin):.4g}"
    bits = value_of(pairs[0].versus, replace(quantity, metric=BITS_PER_BYTE)) if pairs else math.nan
    if math.isfinite(bits):
        share = bits / value_of(pairs[0].versus, quantity)
        yield f"{margin * share:.2g} bits per byte"


def _beside(
    quality: QualityClaim, quantity: TaskQuantity, pairs: Sequence[Pair], versus: str
) -> Iterator[str]:
    """Yield the references for a task's margin: the accuracy of guessing, or the perplexity."""
    first = pairs[0].versus if pairs else None
    if first is None:
        return
    chance, value = results_of(first, quantity)[0].chance, value_of(first, quantity)
    is_fraction = quantity.metric.unit == "%"
    if is_fraction and chance is not None:
        yield f"guessing gives {100 * chance:g} %"
    if not is_fraction and quality.margin and math.isfinite(value):
        share = 100 * quality.margin / value
        yield f"{share:.2g} % of the {quantity.metric.text(value)} of {versus}"
