"""The provenance of a report: the runs behind every cell and the hash of every file."""

import hashlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from switchhead_lab import __version__
from switchhead_lab.config.identity import identity
from switchhead_lab.json_text import to_json
from switchhead_lab.reporting.checks import commit_of, data_digest, is_dirty
from switchhead_lab.reporting.earlier_figures import KEY as FIGURES
from switchhead_lab.reporting.grids import Cell, Column, Grid
from switchhead_lab.reporting.report_data import MemberRun, ReportData
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

_TOOLS = ("pandas", "matplotlib")
_version = cache(importlib.metadata.version)  # reads files


def provenance_json(
    sweeps: Sequence[ReportData],
    grids: Iterable[Grid],
    files: Mapping[str, bytes],
    caption: Sequence[str],
    sources: Sequence[Mapping[str, str]] = (),
    figures: Mapping[str, str] | None = None,
) -> str:
    """Return the provenance of a report as JSON.

    Args:
        sweeps: The data of the report's sweeps.
        grids: Its tables.
        files: Contents of the report's other files by name.
        caption: Sentences of the caption.
        sources: Other files that numbers come from, each with its hash.
        figures: Identities of what figures show, by name.
    """
    records = {run.name: run for data in sweeps for run in data.records}.values()
    runs = {run.member.run_name: run for data in sweeps for run in data.runs}
    commits = {commit for record in records if (commit := commit_of(record))}
    digests = {digest for record in records if (digest := data_digest(record))}
    document = {
        "sweeps": [_sweep(data.record) for data in sweeps],
        "versions": {
            "switchhead_lab": __version__,
            **{tool: _version(tool) for tool in _TOOLS},
        },
        "commits": sorted(commits),
        "runs_with_uncommitted_changes": [record.name for record in records if is_dirty(record)],
        "data_digests": sorted(digests),
        "caption": list(caption),
        **({"sources": list(sources)} if sources else {}),
        **({FIGURES: dict(figures)} if figures else {}),
        "runs": {name: _describe(run) for name, run in sorted(runs.items())},
        "cells": [entry for grid in grids for entry in _cells(grid)],
        "files": {
            name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())
        },
    }
    return to_json(document, ensure_ascii=False) + "\n"


def _sweep(record: SweepRecord) -> dict[str, Any]:
    return {
        "id": sweep_id(record.sweep),
        "hash": identity(record.sweep),
        "studies": {name: study.storage_name for name, study in record.studies.items()},
        "declaration": record.sweep.model_dump(mode="json"),
    }


def _describe(run: MemberRun) -> dict[str, Any]:
    result, record = run.result, run.run
    return {
        "hash": run.member.run_hash,
        "model": run.member.model,
        "seed": run.member.seed,
        "state": run.state,
        "reason": run.reason,
        "mlflow_run_id": run.mlflow_run_id,
        "commit": commit_of(record) if record else None,
        "uncommitted_changes": is_dirty(record) if record else None,
        "data_digest": data_digest(record) if record else None,
        "device": result.device if result else None,
        "precision": result.precision if result else None,
    }


def _cells(grid: Grid) -> Iterator[dict[str, Any]]:
    for row in grid.rows:
        for column, cell in zip(grid.columns, row, strict=True):
            yield _cell(grid.name, row[0].text, column, cell)


def _cell(table: str, row: str, column: Column, cell: Cell) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "table": table,
        "row": row,
        "column": column.key,
        "text": cell.text,
        "value": cell.value,
        "runs": list(cell.runs),
    }
    if column.is_mean:
        entry |= {"std": cell.std, "values": dict(zip(cell.runs, cell.values, strict=True))}
    return entry
