"""From differences and cost ratios to verdicts.

A claim is supported if every part of it is, so its parts need no correction for their number. It is
refuted if one part is; those that are tested share the error probability. Holm's method keeps the
error of all claims of a sweep at alpha, for support and for refutation separately.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from switchhead_lab.claims.holm import Decision, holm
from switchhead_lab.claims.paired import Evidence, Sample, below, equivalent
from switchhead_lab.claims.sequential import crosses, levels
from switchhead_lab.config.claims import QualityClaim

Verdict = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Part:
    """One part of a claim.

    Attributes:
        estimate: Mean difference or ratio; None if unknown.
        n: What it is the mean of: pairs of runs, timed rounds, or 1 for a count; 0 if unknown.
        is_tested: Whether it is estimated from a sample rather than counted.
        supports: Whether the part holds, at an error probability.
        refutes: Whether the opposite holds, at an error probability.
        interval: Interval of the estimate at an error probability on each side; None without one.
        sample: The sample; None for a count.
    """

    estimate: float | None
    n: int
    is_tested: bool
    supports: Callable[[float], bool]
    refutes: Callable[[float], bool]
    interval: Callable[[float], tuple[float, float] | None]
    sample: Sample | None = None

    @classmethod
    def unknown(cls) -> Self:
        """Return a part that nothing is known about yet."""
        return cls(None, 0, False, _never, _never, lambda _: None)


@dataclass(frozen=True)
class PartVerdict:
    """The verdict on one part.

    Attributes:
        part: The part.
        verdict: Its verdict at the claim's share of the error probability.
        interval: Interval of the estimate, as wide as that share and the looks so far demand; None
            if there is none.
    """

    part: Part
    verdict: Verdict
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim.

    Attributes:
        verdict: All parts together.
        parts: Each part, in order.
        share: Error probability at which the claim was tested.
    """

    verdict: Verdict
    parts: tuple[PartVerdict, ...]
    share: float


def quality_part(
    quality: QualityClaim, differences: Sequence[float], looks: Sequence[int], most: int
) -> Part:
    """Return the part of a claim that is about quality.

    Args:
        quality: What is claimed.
        differences: How much worse the model is than the other one, by seed, in the order in which
            seeds were added; negative where it is better.
        looks: Number of differences at each look, increasing; the last one may be now.
        most: Most seeds that the claim may use.
    """
    if not differences or not all(map(math.isfinite, differences)):
        return Part.unknown()
    sizes = [size for size in looks if 1 < size <= len(differences)]
    evidence = [_evidence(quality, Sample.of(differences[:size])) for size in sizes]
    now = Sample.of(differences)

    def interval(alpha: float) -> tuple[float, float] | None:
        return now.interval(levels(alpha, tuple(sizes), most)[-1]) if sizes else None

    return Part(
        estimate=now.mean,
        n=now.n,
        is_tested=True,
        supports=lambda alpha: crosses([one.supports for one in evidence], sizes, most, alpha),
        refutes=lambda alpha: crosses([one.refutes for one in evidence], sizes, most, alpha),
        interval=interval,
        sample=now,
    )


def _evidence(quality: QualityClaim, sample: Sample) -> Evidence:
    match quality.kind:
        case "equivalent":
            return equivalent(sample, quality.margin)
        case "not_worse":
            return below(sample, quality.margin)
        case "better":
            return below(sample, -quality.margin)


def counted_part(ratio: float | None, limit: float) -> Part:
    """Return the part of a claim that is about a counted cost.

    Args:
        ratio: Cost over that of the other model; None if a convention does not define it.
        limit: Largest ratio claimed.
    """
    if ratio is None:
        return Part.unknown()
    return Part(
        ratio,
        1,
        False,
        supports=lambda _: ratio <= limit,
        refutes=lambda _: ratio > limit,
        interval=lambda _: None,
    )


def time_part(ratios: Sequence[float], limit: float) -> Part:
    """Return the part of a claim that is about measured times.

    The logarithms of the ratios are tested, once.

    Args:
        ratios: Time over that of the other model, by round of an interleaved benchmark.
        limit: Largest ratio claimed.
    """
    if len(ratios) < 2:
        return Part.unknown()
    sample = Sample.of([math.log(ratio) for ratio in ratios])
    evidence = below(sample, math.log(limit))

    def interval(alpha: float) -> tuple[float, float] | None:
        found = sample.interval(alpha)
        return None if found is None else (math.exp(found[0]), math.exp(found[1]))

    return Part(
        math.exp(sample.mean),
        sample.n,
        True,
        supports=lambda alpha: evidence.supports <= alpha,
        refutes=lambda alpha: evidence.refutes <= alpha,
        interval=interval,
        sample=sample,
    )


def decide(claims: Sequence[Sequence[Part]], alpha: float) -> list[ClaimVerdict]:
    """Return the verdict on each claim of a sweep.

    Args:
        claims: The parts of each claim.
        alpha: Probability of calling any false claim supported, and of calling any true one
            refuted.
    """
    supported = holm([_all_supported(parts) for parts in claims], alpha)
    refuted = holm([_any_refuted(parts) for parts in claims], alpha)
    return [
        _verdict(parts, support, refutation)
        for parts, support, refutation in zip(claims, supported, refuted, strict=True)
    ]


def _all_supported(parts: Sequence[Part]) -> Callable[[float], bool]:
    return lambda alpha: all(part.supports(alpha) for part in parts)


def _any_refuted(parts: Sequence[Part]) -> Callable[[float], bool]:
    return lambda alpha: any(part.refutes(_refuting(alpha, parts)) for part in parts)


def _refuting(alpha: float, parts: Sequence[Part]) -> float:
    """Return the share of each tested part, since any of them may refute the claim."""
    return alpha / max(1, sum(part.is_tested for part in parts))


def _verdict(parts: Sequence[Part], support: Decision, refutation: Decision) -> ClaimVerdict:
    share = support.share
    verdicts = tuple(
        _part_verdict(part, share, _refuting(refutation.share, parts)) for part in parts
    )
    if refutation.is_shown:
        return ClaimVerdict("refuted", verdicts, share)
    return ClaimVerdict("supported" if support.is_shown else "undecided", verdicts, share)


def _part_verdict(part: Part, share: float, refuting: float) -> PartVerdict:
    verdict: Verdict = "undecided"
    if part.refutes(refuting):
        verdict = "refuted"
    elif part.supports(share):
        verdict = "supported"
    return PartVerdict(part, verdict, part.interval(share))


def _never(_: float) -> bool:
    return False
