"""The names of the paper's tables and figures on the command line: "table2", "figure3"."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from switchhead_lab.config.sweep_files import list_sweep_files
from switchhead_lab.errors import ConfigError
from switchhead_lab.tracking.sweep_dir import list_sweep_records
from switchhead_lab.tracking.sweep_record import sweep_id

TABLES = range(1, 10)
FIGURES = range(1, 7)
_NAME = re.compile(r"(table|figure)(\d+)")


@dataclass(frozen=True)
class PaperPart:
    """A table or a figure of the paper.

    Attributes:
        kind: Which of the two.
        number: Its number.
    """

    kind: Literal["table", "figure"]
    number: int


def find_part(name: str, sweeps_dir: Path, runs_dir: Path) -> PaperPart | None:
    """Return the table or figure of a name; None if it is another name, or that of a sweep.

    Args:
        name: Name on the command line.
        sweeps_dir: Folder of sweep files.
        runs_dir: Folder of all runs.

    Raises:
        ConfigError: If the paper has no such table or figure.
    """
    match = _NAME.fullmatch(name)
    if match is None or _is_sweep(name, sweeps_dir, runs_dir):
        return None
    part = PaperPart("table" if match[1] == "table" else "figure", int(match[2]))
    if part.number not in (TABLES if part.kind == "table" else FIGURES):
        raise ConfigError(
            f"the paper has no {part.kind} {part.number}, and no sweep is named {name}; use "
            f"table{TABLES[0]} to table{TABLES[-1]}, figure{FIGURES[0]} to figure{FIGURES[-1]}, or "
            "a sweep of `lab sweep list`"
        )
    return part


def _is_sweep(name: str, sweeps_dir: Path, runs_dir: Path) -> bool:
    """Return whether a sweep file or a record has a name, which is then the sweep's."""
    files = {
        str(path.relative_to(sweeps_dir).with_suffix("")) for path in list_sweep_files(sweeps_dir)
    }
    return name in files or any(
        name in (record.sweep.name, sweep_id(record.sweep))
        for record in list_sweep_records(runs_dir)
    )
