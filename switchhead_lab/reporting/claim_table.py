"""The claims of a sweep with their verdicts, from its runs, costs and timings."""

from collections.abc import Sequence
from dataclasses import dataclass

from switchhead_lab.claims.planning import distance_to_bound, seeds_needed
from switchhead_lab.claims.verdict import ClaimVerdict, PartVerdict, decide
from switchhead_lab.config.claims import TIME, Claim
from switchhead_lab.reporting.claim_pairs import ComparedRuns, compared_runs
from switchhead_lab.reporting.claim_parts import StatedPart, stated_parts
from switchhead_lab.reporting.commands import how_to
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.reporting.resources import StepTimes
from switchhead_lab.reporting.single_seed import single_seed_sentence
from switchhead_lab.reporting.statistics import MISSING
from switchhead_lab.reporting.zero_shot_values import how_to_evaluate

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
class StatedClaim:
    """A claim with its verdict.

    Attributes:
        claim: The claim, with its names filled in.
        parts: Its parts, in order.
        verdict: The verdict on it and on each part.
        compared: The runs that it compares, and what is missing of them.
        single_seed: Sentence about the documents of a single seed; empty without one.
        timing: How to time its steps: a clause with the command.
        how_to_evaluate: Clause with the command that fills gaps of the evaluation.
    """

    claim: Claim
    parts: tuple[StatedPart, ...]
    verdict: ClaimVerdict
    compared: ComparedRuns
    single_seed: str
    timing: str
    how_to_evaluate: str

    @property
    def looks(self) -> tuple[int, ...]:
        """Pairs of seeds at each look, the present one last."""
        return self.compared.looks

    @property
    def gaps(self) -> tuple[str, ...]:
        """Missing runs and evaluations that a statement on quality needs, one sentence each."""
        return (*self.compared.gaps, *self.compared.unevaluated)

    @property
    def has_verdict(self) -> bool:
        """Whether two seeds, or costs alone, give one."""
        needs_seeds = self.claim.quality is not None and self.looks[-1] < 2
        return self.verdict.verdict != "undecided" or not needs_seeds

    @property
    def verdict_text(self) -> str:
        """The verdict in words; withheld while declared runs or their evaluations are missing."""
        if not self.gaps:
            return self.verdict.verdict if self.has_verdict else NO_VERDICT
        found = {"runs": self.compared.gaps, "evaluations": self.compared.unevaluated}
        missing = " and ".join(name for name, gaps in found.items() if gaps)
        return f"{missing} missing: {self.verdict.verdict} so far"


def read_claims(data: ReportData, times: StepTimes) -> list[StatedClaim]:
    """Return the verdict on every claim of a sweep.

    Args:
        data: The sweep's runs.
        times: Interleaved step times of its models.
    """
    claims = data.record.sweep.stated_claims
    if not claims:
        return []
    compared = [compared_runs(data, claim) for claim in claims]
    parts = [
        tuple(stated_parts(data, times, claim, found))
        for claim, found in zip(claims, compared, strict=True)
    ]
    verdicts = decide([[stated.part for stated in one] for one in parts], claims[0].alpha)
    return [
        StatedClaim(
            claim=claim,
            parts=own_parts,
            verdict=verdict,
            compared=found,
            single_seed=single_seed_sentence(claim, found),
            timing=_timing(data, claim),
            how_to_evaluate=how_to_evaluate(data) if found.unevaluated else "",
        )
        for claim, own_parts, verdict, found in zip(claims, parts, verdicts, compared, strict=True)
    ]


def _timing(data: ReportData, claim: Claim) -> str:
    """Return how to time the steps of a sweep; empty for a claim that is not about time."""
    if TIME not in claim.cost:
        return ""
    return how_to(data.record.sweep, data.sweeps_dir, "times the steps", "bench step")


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
    if stated.compared.unevaluated:
        line += f" {outlook(stated)}"
    elif n < 2:
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
    """Return what an undecided claim needs: evaluations, or seeds, from the spread so far."""
    if stated.compared.unevaluated:
        return f"Its zero-shot results are incomplete: {stated.how_to_evaluate}."
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
