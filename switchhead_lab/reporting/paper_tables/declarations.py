"""The sweep files that reproduce rows of a table of the paper."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.search import Study
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import SweepFile, list_sweep_files, read_sweep_file
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.commands import Verb
from switchhead_lab.reporting.paper_tables.printed import Block
from switchhead_lab.reporting.paper_values import find_comparison
from switchhead_lab.variants.registry import variants_of


@dataclass(frozen=True)
class Declaration:
    """A sweep file at one size.

    Attributes:
        name: Its name for `lab sweep`.
        sweep: The declaration.
        is_default_size: Whether `lab sweep` runs this size by default.
        positions: Numbers of the rows that it reproduces.
    """

    name: str
    sweep: Sweep
    is_default_size: bool
    positions: frozenset[int]

    @property
    def command(self) -> str:
        """The command that runs it."""
        return self.command_of("sweep")

    def command_of(self, verb: Verb) -> str:
        """Return a command of the lab for it."""
        return shlex.join(["lab", *verb.split(), self.name, "--size", self.sweep.size])

    @property
    def is_dedicated(self) -> bool:
        """Whether it was written for the table that it reproduces, by its name."""
        paper = self.sweep.paper
        return paper is not None and is_dedicated(self.sweep.name, paper.table)


@dataclass(frozen=True)
class Declarations:
    """The sweep files that reproduce rows of a table.

    Attributes:
        found: One declaration per file and size, files in order of name, sizes as in the file.
        unusable: Errors of unusable files and sizes.
        sweeps_dir: Folder of the files.
    """

    found: tuple[Declaration, ...]
    unusable: tuple[str, ...]
    sweeps_dir: Path

    def of(self, block: Block) -> list[Declaration]:
        """Return those of a block."""
        return [declaration for declaration in self.found if block.is_of(declaration.sweep.paper)]

    def named(self, name: str, size: str) -> Declaration | None:
        """Return the one with a sweep's recorded name and size; None if no file declares it."""
        key = (name, size)
        return next((d for d in self.found if (d.sweep.name, d.sweep.size) == key), None)


def is_dedicated(name: str, table: int) -> bool:
    """Return whether a sweep was written for a table, by its name: "table2-c4"."""
    return name.partition("-")[0] == f"table{table}"


def read_declarations(sweeps_dir: Path, table: int) -> Declarations:
    """Read the sweep files of a workspace that reproduce rows of a table.

    Args:
        sweeps_dir: Folder of sweep files.
        table: Number of the table.
    """
    found: list[Declaration] = []
    unusable: list[str] = []
    for path in list_sweep_files(sweeps_dir):
        try:
            file = read_sweep_file(path)
        except LabError as error:
            unusable.append(_without_folder(error, sweeps_dir))
            continue
        name = str(path.relative_to(sweeps_dir).with_suffix(""))
        for size in file.sizes if _may_reproduce(file, table) else ():
            try:
                sweep = file.resolve(size)
                positions = frozenset(_positions(sweep))
            except LabError as error:
                unusable.append(_without_folder(error, sweeps_dir))
                continue
            if sweep.paper is not None and sweep.paper.table == table:
                found.append(Declaration(name, sweep, size in file.default_sizes, positions))
    return Declarations(tuple(found), tuple(unusable), sweeps_dir)


def _without_folder(error: LabError, sweeps_dir: Path) -> str:
    """Return an error's text without the folder, so that reports do not depend on it."""
    return str(error).replace(f"{sweeps_dir}/", "")


def _may_reproduce(file: SweepFile, table: int) -> bool:
    """Return whether a file names the table anywhere, before its sizes are resolved."""
    return any(_table_of(tree) == table for tree in (file.base, *file.sizes.values()))


def _table_of(tree: dict[str, Any]) -> object:
    paper = tree.get("paper")
    return paper.get("table") if isinstance(paper, dict) else None


def _positions(sweep: Sweep) -> Iterator[int]:
    """Yield the numbers of the printed rows that a sweep has a model for."""
    if sweep.paper is None:
        return
    families = dict(_families(sweep))
    comparison = find_comparison(sweep.paper, families)
    for name, family in families.items():
        figures = comparison.find(name, family, is_baseline=name == sweep.baseline.name)
        if figures is not None:
            yield figures.position


def _families(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Yield name and family of the baseline, the declared models and the searches."""
    yield sweep.baseline.name, _family("dense")
    for model in sweep.models:
        feedforward = model.feedforward
        yield model.name, _family(model.kind, feedforward.kind if feedforward else "")
    for study in sweep.studies:
        yield study.name, _family_of(study, sweep)


def _family_of(study: Study, sweep: Sweep) -> str:
    template = sweep.template_of(study) or {"kind": "dense"}
    feedforward = template.get("feedforward") or {}
    return _family(str(template["kind"]), str(feedforward.get("kind", "")))


def _family(attention: str, feedforward: str = "") -> str:
    """Return the family of a model by the kinds of its blocks, as `ModelConfig.family`."""
    of_attention = variants_of("attention")[attention].family
    of_feedforward = variants_of("feedforward")[feedforward].family if feedforward else ""
    return " + ".join(filter(None, (of_attention, of_feedforward)))
