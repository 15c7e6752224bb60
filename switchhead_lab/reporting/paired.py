"""Comparisons of two models over the seeds that both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from switchhead_lab.reporting.quality import MeasuredQuantity
from switchhead_lab.reporting.report_data import MemberRun, ModelRow


@dataclass(frozen=True)
class Paired:
    """The runs of two models by seed, for the seeds that both have.

    Attributes:
        ours: Runs of the model, in the order of its seeds.
        theirs: Runs of the baseline with the same seeds.
        is_all: Whether both means are over just these seeds.
    """

    ours: tuple[MemberRun, ...]
    theirs: tuple[MemberRun, ...]
    is_all: bool

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.ours)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs, without duplicates."""
        runs = (*self.ours, *self.theirs)
        return tuple(dict.fromkeys(run.member.run_name for run in runs))

    def means(self, quantity: MeasuredQuantity) -> tuple[float, float]:
        """Return the means of both models over these seeds, at least one."""
        ours, theirs = (_values(runs, quantity) for runs in (self.ours, self.theirs))
        return fmean(ours), fmean(theirs)


def paired(row: ModelRow, baseline: ModelRow) -> Paired:
    """Pair the runs behind a model's means with those of the baseline by seed."""
    others = {run.member.seed: run for run in baseline.counted}
    ours = tuple(run for run in row.counted if run.member.seed in others)
    theirs = tuple(others[run.member.seed] for run in ours)
    return Paired(ours, theirs, len(ours) == len(row.counted) == len(others))


def unpaired_lines(rows: Sequence[ModelRow], baseline: ModelRow) -> Iterator[str]:
    """Yield a note on each model that has results and no seed in common with the baseline."""
    for row in rows:
        if row.counted and baseline.counted and not paired(row, baseline).n:
            own, base = (
                ", ".join(str(run.member.seed) for run in one.counted) for one in (row, baseline)
            )
            yield (
                f"Note: {row.name} (seeds {own}) has no seed in common with {baseline.name} "
                f"(seeds {base}), so their results are not compared."
            )


def _values(runs: Sequence[MemberRun], quantity: MeasuredQuantity) -> list[float]:
    return [quantity.read(run.result) for run in runs if run.result is not None]
