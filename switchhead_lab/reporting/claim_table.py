"""The claims of a sweep with their verdicts, from its runs, costs and timings."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from switchhead_lab.budget.cost_axes import find_axis
from switchhead_lab.claims.bootstrap import document_difference
from switchhead_lab.claims.planning import distance_to_bound, seeds_needed
from switchhead_lab.claims.verdict import (
    ClaimVerdict,
    Part,
    PartVerdict,
    counted_part,
    decide,
    quality_part,
    time_part,
)
from switchhead_lab.config.claims import TIME, Claim, QualityClaim, metric_of
from switchhead_lab.objectives.metrics import BITS_PER_BYTE, LOSS, Metric
from switchhead_lab.reporting.commands import how_to
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import MemberRun, ReportData
from switchhead_lab.reporting.resources import StepTimes
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.tracking.document_losses import read_document_losses
from switchhead_lab.tracking.record import ScoredSplit

NO_VERDICT = "one seed: no verdict"
COLUMNS = (
    Column("claim", "claim", is_text=True),
    Column("verdict", "verdict", is_text=True),
    Column("part", "part", is_text=True),
    Column("statement", "statement", is_text=True),
    Column("estimate", "estimate"),
    Column("low", ""),
    Column("high", ""),
    Column("interval", "interval"),
    Column("n", "n"),
    Column("part_verdict", "verdict on the part", is_text=True, short="part's verdict"),
)


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


@dataclass(frozen=True)
class StatedClaim:
    """A claim with its verdict.

    Attributes:
        claim: The claim, with its names filled in.
        parts: Its parts, in order.
        verdict: The verdict on it and on each part.
        looks: Pairs of seeds at each look, the present one last.
        single_seed: Sentence about the documents of a single seed; empty without one.
        gaps: Missing runs that a statement on quality needs, one sentence each.
        timing: How to time its steps: a clause with the command.
    """

    claim: Claim
    parts: tuple[StatedPart, ...]
    verdict: ClaimVerdict
    looks: tuple[int, ...]
    single_seed: str = ""
    gaps: tuple[str, ...] = ()
    timing: str = ""

    @property
    def has_verdict(self) -> bool:
        """Whether two seeds, or costs alone, give one."""
        needs_seeds = self.claim.quality is not None and self.looks[-1] < 2
        return self.verdict.verdict != "undecided" or not needs_seeds

    @property
    def verdict_text(self) -> str:
        """The verdict in words; withheld while declared runs are missing."""
        verdict = self.verdict.verdict if self.has_verdict else NO_VERDICT
        return f"runs missing: {self.verdict.verdict} so far" if self.gaps else verdict


def read_claims(data: ReportData, times: StepTimes) -> list[StatedClaim]:
    """Return the verdict on every claim of a sweep.

    Args:
        data: The sweep's runs.
        times: Interleaved step times of its models.
    """
    claims = data.record.sweep.stated_claims
    if not claims:
        return []
    pairs = [pairs_of(data, claim) for claim in claims]
    looks = [looks_of(data, claim, len(found)) for claim, found in zip(claims, pairs, strict=True)]
    parts = [
        tuple(_parts(data, times, claim, found, seen))
        for claim, found, seen in zip(claims, pairs, looks, strict=True)
    ]
    verdicts = decide([[stated.part for stated in one] for one in parts], claims[0].alpha)
    sentences = [_single_seed(data, claim, one) for claim, one in zip(claims, pairs, strict=True)]
    gaps = [tuple(_gaps(data, claim)) for claim in claims]
    timing = [_timing(data, claim) for claim in claims]
    return [
        StatedClaim(*one)
        for one in zip(claims, parts, verdicts, looks, sentences, gaps, timing, strict=True)
    ]


def _timing(data: ReportData, claim: Claim) -> str:
    """Return how to time the steps of a sweep; empty for a claim that is not about time."""
    if TIME not in claim.cost:
        return ""
    return how_to(data.record.sweep, data.sweeps_dir, "times the steps", "bench step")


def _gaps(data: ReportData, claim: Claim) -> Iterator[str]:
    """Yield the models of a claim about quality that lack runs."""
    if claim.quality is None:
        return
    for row in data.models:
        if row.name in (claim.model, claim.versus) and not row.is_complete:
            yield f"{row.name} has {len(row.finished)} of {len(row.seeds)} seeds."


def _single_seed(data: ReportData, claim: Claim, pairs: Sequence[Pair]) -> str:
    """Return what the documents of a single pair of runs say, which is no verdict."""
    if claim.quality is None or len(pairs) != 1:
        return ""
    split, _ = metric_of(claim.quality, data.record.sweep.objective)
    runs = [one.run for one in (pairs[0].model, pairs[0].versus) if one.run is not None]
    losses = [read_document_losses(run.directory, split) for run in runs]
    ours, theirs = losses if len(losses) == 2 else (None, None)
    if ours is None or theirs is None or ours.n_targets != theirs.n_targets:
        return ""
    if len(ours.n_targets) < 2:
        return f" The {split} split is a single document, whose losses say nothing about a spread."
    found = document_difference(ours.loss_nats, theirs.loss_nats, ours.n_targets)
    return (
        f" Over the {found.n_documents} documents of the {split} split alone (bootstrap, 95 %), "
        f"the loss differs by {found.nats:+.4f} nats ({found.low:+.4f} to {found.high:+.4f}); this "
        "says nothing about other seeds."
    )


def pairs_of(data: ReportData, claim: Claim) -> list[Pair]:
    """Return the pairs of finished runs of a claim, in the order of the seeds.

    The seed that selected a searched model does not count: its run is the best of many.
    """
    rows = {row.name: row for row in data.models}
    model, versus = rows[claim.model], rows[claim.versus]
    chosen = {row.seeds[0] for row in (model, versus) if row.role == "best"}
    others = {run.member.seed: run for run in versus.finished}
    return [
        Pair(run, others[run.member.seed])
        for run in model.finished
        if run.member.seed in others and run.member.seed not in chosen
    ]


def looks_of(data: ReportData, claim: Claim, n_pairs: int) -> tuple[int, ...]:
    """Return the pairs of seeds at each recorded look, and at the present one."""
    earlier = [n for n in data.record.looks.get(claim.title, []) if n < n_pairs]
    return (*earlier, n_pairs)


def _parts(
    data: ReportData, times: StepTimes, claim: Claim, pairs: Sequence[Pair], looks: Sequence[int]
) -> Iterator[StatedPart]:
    if claim.quality is not None:
        yield _quality(data, claim, claim.quality, pairs, looks)
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
    data: ReportData,
    claim: Claim,
    quality: QualityClaim,
    pairs: Sequence[Pair],
    looks: Sequence[int],
) -> StatedPart:
    split, metric = metric_of(quality, data.record.sweep.objective)
    values = [
        (_value(pair.model, split, metric), _value(pair.versus, split, metric)) for pair in pairs
    ]
    differences = [ours - theirs for ours, theirs in values]
    sign = 1.0 if metric.lower_is_better else -1.0
    worse = [sign * difference for difference in differences]
    return StatedPart(
        name=f"{split} {metric.label}",
        statement=_statement(quality, metric, claim.versus)
        + _meaning(quality, metric, pairs, split),
        short=_short_statement(quality, metric),
        part=quality_part(quality, worse, looks, claim.max_seeds),
        runs=tuple(run.member.run_name for pair in pairs for run in (pair.model, pair.versus)),
        metric=metric,
    )


def _value(run: MemberRun, split: ScoredSplit, metric: Metric) -> float:
    assert run.result is not None, "pairs are of finished runs"
    value = run.result.value(split, metric)
    return float("nan") if value is None else value


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


def _meaning(
    quality: QualityClaim, metric: Metric, pairs: Sequence[Pair], split: ScoredSplit
) -> str:
    """Return what a margin means in other metrics, in parentheses; empty if nothing is known.

    A margin in nats is a factor of perplexity. The share of it in bits per byte is that of the
    losses of the other model's first run.
    """
    if metric != LOSS or not quality.margin:
        return ""
    words = [f"perplexity within a factor of {math.exp(quality.margin):.4g}"]
    bits = _value(pairs[0].versus, split, BITS_PER_BYTE) if pairs else math.nan
    if math.isfinite(bits):
        share = bits / _value(pairs[0].versus, split, LOSS)
        words.append(f"{quality.margin * share:.2g} bits per byte")
    return f" ({', '.join(words)})"


def claim_grid(claims: Sequence[StatedClaim]) -> Grid:
    """Return the table of claims, one row per part."""
    rows = [
        _row(stated, part, verdict, is_first=number == 0)
        for stated in claims
        for number, (part, verdict) in enumerate(
            zip(stated.parts, stated.verdict.parts, strict=True)
        )
    ]
    return Grid("claims", COLUMNS, tuple(rows))


def _row(
    stated: StatedClaim, part: StatedPart, found: PartVerdict, *, is_first: bool
) -> tuple[Cell, ...]:
    name, verdict = stated.claim.title, stated.verdict_text
    low, high = found.interval or (None, None)
    estimate = part.part.estimate
    return (
        Cell(name if is_first else "", name),
        Cell(verdict if is_first else "", verdict),
        Cell(part.name, part.name),
        Cell(part.statement, part.statement, short=part.short),
        Cell(_text(part, estimate), estimate, runs=part.runs),
        Cell("", low, runs=part.runs),
        Cell("", high, runs=part.runs),
        Cell(
            MISSING if low is None else f"{_text(part, low)} to {_text(part, high)}",
            short="" if low is None else f"[{_text(part, low)}, {_text(part, high)}]",
        ),
        Cell(str(part.part.n), part.part.n),
        Cell(found.verdict, found.verdict),
    )


def _text(part: StatedPart, value: float | None) -> str:
    if value is None:
        return MISSING
    if part.metric is None:
        return f"{value:.3f}"
    # How much worse: a difference needs a sign and more digits than a value.
    return f"{part.metric.scale * value:+.{part.metric.decimals + 1}f}"


def claim_lines(claims: Sequence[StatedClaim]) -> list[str]:
    """Return the sentences below the table of claims."""
    if not claims:
        return []
    alpha = claims[0].claim.alpha
    lines = [
        "Differences are how much worse the claim's model is (negative: better), paired by seed. "
        "Intervals allow for the number of looks and of claims.",
        f"A false claim is called supported with a probability of at most {100 * alpha:g} % over "
        "all claims (Holm) and looks (O'Brien-Fleming spending).",
    ]
    return [
        *lines,
        *(
            f"{stated.claim.title}: {sentence}"
            for stated in claims
            if (sentence := evidence_line(stated))
        ),
    ]


def evidence_line(stated: StatedClaim) -> str:
    """Return how many seeds and looks a verdict on quality rests on, and what is still missing.

    Empty for a claim about counted costs only.
    """
    if stated.claim.quality is None:
        return _time_outlook(stated)
    n, looks = stated.looks[-1], sum(size > 1 for size in stated.looks)
    line = f"{n} of {stated.claim.max_seeds} seeds, {looks} look{'s' if looks != 1 else ''}."
    if n < 2:
        line += " A verdict on quality needs two seeds of both models."
        line += stated.single_seed
    elif stated.verdict.verdict == "undecided":
        line += f" {outlook(stated)}"
    return " ".join(filter(None, (line, _time_outlook(stated))))


def _time_outlook(stated: StatedClaim) -> str:
    """Return the command that times the steps of a claim whose time is undecided."""
    verdicts = zip(stated.parts, stated.verdict.parts, strict=True)
    if not any(part.name == TIME and found.verdict == "undecided" for part, found in verdicts):
        return ""
    return f"The time is undecided: {stated.timing}; more --rounds narrow its interval."


def outlook(stated: StatedClaim) -> str:
    """Return how many seeds an undecided claim will probably need, from the spread so far."""
    claim, sample = stated.claim, stated.verdict.parts[0].part.sample
    is_open = stated.verdict.verdict == "undecided"
    if claim.quality is None or sample is None or sample.n < 2 or not is_open:
        return ""
    distance = distance_to_bound(claim.quality, sample)
    if distance <= 0.0:
        return "The mean so far is on the other side of the bound."
    needed = seeds_needed(sample, distance, stated.verdict.share, claim.max_seeds)
    if needed is None:
        return f"With this spread, {claim.max_seeds} seeds are probably too few."
    return (
        f"With this spread it probably needs {max(needed, sample.n + 1)} seeds; "
        "`--until-decided` with the sweep's command adds them."
    )
