"""Assembles a table of the paper from the recorded sweeps that reproduce it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.files import near_miss
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.checks import seed_gaps
from switchhead_lab.reporting.commands import sweep_command
from switchhead_lab.reporting.paper_tables.declarations import Declaration, Declarations
from switchhead_lab.reporting.paper_tables.printed import Block, PrintedRow, PrintedTable
from switchhead_lab.reporting.paper_tables.sources import Source, read_sources
from switchhead_lab.reporting.paper_values import OurRow
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.tracking.sweep_dir import list_sweep_records
from switchhead_lab.tracking.sweep_record import SweepRecord


@dataclass(frozen=True)
class FilledRow:
    """A printed row with what we have for it.

    Attributes:
        printed: The row as printed.
        ours: Our model; None if no recorded sweep has one.
        source: The sweep of our model.
        command: The command that trains what it lacks: that of the recorded sweep with its
            overrides, else the declared one; empty if no sweep file gives it.
        declared: The command of its sweep file; empty if no sweep file declares it.
    """

    printed: PrintedRow
    ours: OurRow | None
    source: Source | None
    command: str
    declared: str

    @property
    def is_missing(self) -> bool:
        """Whether it has no result."""
        return self.ours is None or not self.ours.row.finished

    @property
    def gaps(self) -> str:
        """The seeds without a result, with reasons; empty without a recorded model."""
        return "; ".join(seed_gaps(self.ours.row)) if self.ours is not None else ""


@dataclass(frozen=True)
class FilledBlock:
    """A block of a table with its rows.

    Attributes:
        block: The block.
        size: Size that its sweeps were run at; empty if no sweep reproduces it.
        rows: Its rows, in printed order.
        unused: Recorded sweeps that reproduce its rows and fill none.
    """

    block: Block
    size: str
    rows: tuple[FilledRow, ...]
    unused: tuple[Source, ...]

    @property
    def sources(self) -> list[Source]:
        """The sweeps that fill its rows, each once."""
        used = [row.source for row in self.rows if row.source is not None]
        return list({source.id: source for source in used}.values())


@dataclass(frozen=True)
class Assembly:
    """A table of the paper filled from the records of a workspace.

    Attributes:
        table: The table as printed.
        size: Size of the sweeps, for every block that is declared at it.
        blocks: Its blocks, in printed order.
        unusable: Errors of unusable sweep files.
    """

    table: PrintedTable
    size: str
    blocks: tuple[FilledBlock, ...]
    unusable: tuple[str, ...]

    @property
    def rows(self) -> list[FilledRow]:
        """Every row, in printed order."""
        rows = [row for block in self.blocks for row in block.rows]
        return sorted(rows, key=lambda row: row.printed.figures.position)

    @property
    def sources(self) -> list[Source]:
        """The sweeps that fill its rows, each once."""
        used = [source for block in self.blocks for source in block.sources]
        return list({source.id: source for source in used}.values())


def choose_size(
    size: str, table: int, declarations: Sequence[Declaration], records: Sequence[SweepRecord]
) -> str:
    """Return the size of a report: the given one, the latest that was run, or the default.

    Args:
        size: Name of a size; may be empty.
        table: Number of the table.
        declarations: The sweep files of the table.
        records: Records of its sweeps, the latest first.

    Raises:
        ConfigError: If no sweep of the table has the size.
    """
    sizes = [declaration.sweep.size for declaration in declarations]
    known = list(dict.fromkeys([*sizes, *(record.sweep.size for record in records)]))
    if size and size not in known:
        raise ConfigError(
            f"--size {size}: no sweep of Table {table} has this size{near_miss(size, known)}; "
            f"sizes: {', '.join(known) or 'none'}"
        )
    defaults = [one.sweep.size for one in declarations if one.is_default_size]
    latest = [record.sweep.size for record in records]
    return next(iter([*filter(None, [size]), *latest, *defaults]), "")


def assemble(
    table: PrintedTable,
    declarations: Declarations,
    runs_dir: Path,
    size: str = "",
    known: Mapping[str, ReportData] | None = None,
) -> Assembly:
    """Fill a table from the latest records of the sweeps that reproduce it.

    Args:
        table: The table as printed.
        declarations: The sweep files of the table.
        runs_dir: Folder of all runs.
        size: Size of the sweeps; by default the latest that was run.
        known: Sweeps whose runs were read before, by id.

    Raises:
        ConfigError: If no sweep of the table has the size.
    """
    records = [
        record
        for record in list_sweep_records(runs_dir)
        if record.sweep.paper is not None and record.sweep.paper.table == table.number
    ]
    size = choose_size(size, table.number, declarations.found, records)
    blocks = []
    for block in table.blocks:
        recorded = [record for record in records if block.is_of(record.sweep.paper)]
        own = _size_of(block, size, declarations, recorded)
        found = [record for record in recorded if record.sweep.size == own]
        sources = read_sources(found, declarations, runs_dir, known or {})
        rows = [row for row in table.rows if row.block == block]
        blocks.append(_fill(block, own, rows, sources, declarations))
    return Assembly(table, size, tuple(blocks), declarations.unusable)


def _size_of(
    block: Block, size: str, declarations: Declarations, recorded: Sequence[SweepRecord]
) -> str:
    """Return the size at which a block is filled.

    A block of large models is not declared at the size of a small one: it has its own.
    """
    declared = declarations.of(block)
    sizes = [one.sweep.size for one in declared]
    latest = [record.sweep.size for record in recorded]
    if size in sizes or size in latest:
        return size
    files = {one.name for one in declared}
    others = [one.sweep.size for one in declarations.found if one.name in files]
    # A file that has the size for another block names the size of this one first.
    defaults = [] if size in others else [d.sweep.size for d in declared if d.is_default_size]
    return next(iter([*latest, *defaults, *sizes]), "")


def _fill(
    block: Block,
    size: str,
    rows: Sequence[PrintedRow],
    sources: Sequence[Source],
    declarations: Declarations,
) -> FilledBlock:
    by_source = [(source, source.rows()) for source in sources]
    filled = []
    for row in rows:
        position = row.figures.position
        having = [(source, own[position]) for source, own in by_source if position in own]
        # The first with a result, else the first that could have one.
        with_result = [one for one in having if one[1].row.finished]
        source, ours = next(iter([*with_result, *having]), (None, None))
        declared = _command(block, position, size, declarations)
        command = declared
        if source is not None and not source.is_as_declared:
            command = sweep_command(source.sweep, declarations.sweeps_dir)
        filled.append(FilledRow(row, ours, source, command, declared))
    used = {row.source.id for row in filled if row.source is not None}
    unused = tuple(source for source in sources if source.id not in used)
    return FilledBlock(block, size, tuple(filled), unused)


def _command(block: Block, position: int, size: str, declarations: Declarations) -> str:
    """Return the command that trains a row, at the size of its block if it is declared there."""
    having = [one for one in declarations.of(block) if position in one.positions]

    def rank(one: Declaration) -> tuple[bool, bool, str]:
        return one.sweep.size != size, not one.is_dedicated, one.name

    return min(having, key=rank).command if having else ""
