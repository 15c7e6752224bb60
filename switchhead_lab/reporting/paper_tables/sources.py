"""The recorded sweeps that rows of a table come from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from switchhead_lab.config.sweep import PaperRow, Sweep
from switchhead_lab.reporting.paper_setup import setup_differences
from switchhead_lab.reporting.paper_tables.declarations import Declarations, is_dedicated
from switchhead_lab.reporting.paper_values import OurRow, find_comparison, paper_quality
from switchhead_lab.reporting.report_data import ModelRow, ReportData, read_report_data
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.sweep_record import OUTSIDE_ID, SweepRecord, sweep_id


@dataclass(frozen=True)
class Source:
    """A recorded sweep that reproduces rows of a table.

    Attributes:
        data: Its rows with their runs.
        declared: What its sweep file declares now; None if no file has its name and size.
        others: Ids of other recorded declarations of its name and size.
    """

    data: ReportData
    declared: Sweep | None
    others: tuple[str, ...]

    @property
    def sweep(self) -> Sweep:
        """The sweep as it was run."""
        return self.data.record.sweep

    @property
    def paper(self) -> PaperRow:
        """The rows that it reproduces."""
        assert self.sweep.paper is not None, "sources are sweeps that name rows of the paper"
        return self.sweep.paper

    @property
    def id(self) -> str:
        """Id of the sweep."""
        return sweep_id(self.sweep)

    @property
    def is_as_declared(self) -> bool:
        """Whether it is what its sweep file declares."""
        return self.declared is not None and sweep_id(self.declared) == self.id

    @cached_property
    def differences(self) -> list[str]:
        """What differs from the paper's experiment."""
        return setup_differences(self.paper, self.data)

    def changes(self) -> list[str]:
        """Return the fields in which it differs from its sweep file: "training.n_steps=4"."""
        if self.declared is None:
            return []
        ran, declared = (
            dict(flatten(sweep.model_dump(mode="json", exclude=OUTSIDE_ID)))
            for sweep in (self.sweep, self.declared)
        )
        names = [name for name in dict.fromkeys((*ran, *declared)) if not name.endswith(".seeds")]
        return [
            f"{name}={'none' if ran.get(name) is None else ran[name]}"
            for name in names
            if ran.get(name) != declared.get(name)
        ]

    def rows(self) -> dict[int, OurRow]:
        """Return its models by the number of the printed row that each reproduces."""
        comparison = find_comparison(self.paper, [row.name for row in self.data.models])
        quality = paper_quality(comparison, self.data)
        found: dict[int, OurRow] = {}
        for row in self.data.models:
            figures = comparison.counterpart(row)
            if figures is None:
                continue
            known = found.get(figures.position)
            if known is None or _is_better_filled(row, known.row):
                found[figures.position] = OurRow(row, self.data.baseline, quality)
        return found


def _is_better_filled(row: ModelRow, known: ModelRow) -> bool:
    """Return whether a model has results and an earlier one of the same printed row has none."""
    return bool(row.finished) and not known.finished


def read_sources(
    records: Sequence[SweepRecord],
    declarations: Declarations,
    runs_dir: Path,
    known: Mapping[str, ReportData],
) -> list[Source]:
    """Read one record of each sweep, the most suitable sweep first.

    Of several records of a sweep, the one that its file declares counts, else the latest. Sweeps
    written for the table come before others, and unchanged declarations before changed ones.

    Args:
        records: Records of a block at one size, the latest first.
        declarations: The sweep files of the table.
        runs_dir: Folder of all runs.
        known: Sweeps whose runs were read before, by id.
    """
    by_name: dict[str, list[SweepRecord]] = {}
    for record in records:
        by_name.setdefault(record.sweep.name, []).append(record)
    sources = [_source(found, declarations, runs_dir, known) for found in by_name.values()]
    return sorted(sources, key=_rank)


def _source(
    found: Sequence[SweepRecord],
    declarations: Declarations,
    runs_dir: Path,
    known: Mapping[str, ReportData],
) -> Source:
    sweep = found[0].sweep
    declaration = declarations.named(sweep.name, sweep.size)
    declared = declaration.sweep if declaration is not None else None
    wanted = "" if declared is None else sweep_id(declared)
    chosen = next((r for r in found if sweep_id(r.sweep) == wanted), found[0])
    data = known.get(sweep_id(chosen.sweep)) or read_report_data(
        chosen, runs_dir, declarations.sweeps_dir
    )
    return Source(data, declared, tuple(_others(found, chosen)))


def _others(found: Sequence[SweepRecord], chosen: SweepRecord) -> Iterator[str]:
    yield from sorted(sweep_id(record.sweep) for record in found if record is not chosen)


def _rank(source: Source) -> tuple[bool, bool, str]:
    is_other = not is_dedicated(source.sweep.name, source.paper.table)
    return not source.is_as_declared, is_other, source.id
