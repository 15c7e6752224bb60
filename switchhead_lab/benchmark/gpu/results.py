"""The results of a run, collected from its journal and written as gpu.json and gpu.md."""

import json
from pathlib import Path
from typing import Any

from switchhead_lab.benchmark.gpu.journal import Event, Journal
from switchhead_lab.benchmark.gpu.plan import PARTS, Part
from switchhead_lab.benchmark.gpu.tables import page
from switchhead_lab.benchmark.gpu.tables_of_parts import Results
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.provenance import Provenance

_SCHEMA_VERSION = 1
_BAD = ("wrong", "failed", "crashed", "timeout")


def collect_results(journal: Journal, provenance: Provenance, *, is_dry_run: bool) -> Results:
    """Collect the results of a run so far.

    Args:
        journal: Its events.
        provenance: Provenance of its code.
        is_dry_run: Whether it was a dry run, whose timings mean nothing.

    Returns:
        Plain data: the machine, the provenance of the code, and every part with its cases.
    """
    parts = [_part(part, journal) for part in PARTS]
    machine = {case["name"]: case["findings"] for case in parts[0]["cases"]}
    return {
        "schema_version": _SCHEMA_VERSION,
        "is_dry_run": is_dry_run,
        "is_right": all(part["n_bad"] == 0 for part in parts),
        "machine": machine,
        "provenance": provenance.values | {"device": machine.get("facts")},
        "parts": parts,
    }


def write_results(out: Path, results: Results) -> None:
    """Write gpu.json and gpu.md into a folder."""
    write_text(out / "gpu.json", json.dumps(results, indent=1) + "\n")
    write_text(out / "gpu.md", page(results))


def _part(part: Part, journal: Journal) -> dict[str, Any]:
    latest = journal.latest(part.name)
    own = latest.pop("", None)
    cases = [_case(event) for event in latest.values()]
    n_bad = sum(case["status"] in _BAD for case in cases)
    return {
        "name": part.name,
        "title": part.title,
        "status": own.status if own else ("done" if cases else "skipped"),
        "reason": own.reason if own else "",
        "seconds": sum(case["seconds"] for case in cases),
        "n_done": sum(case["status"] == "done" for case in cases),
        # A part that ran out of time lacks cases, but nothing in it went wrong.
        "n_bad": n_bad + (own is not None and own.status in ("failed", "crashed")),
        "cases": cases,
    }


def _case(event: Event) -> dict[str, Any]:
    was_started = event.status != "planned"
    return {
        "name": event.case,
        "status": event.status if was_started else "skipped",
        "seconds": event.seconds,
        "reason": event.reason if was_started else "no time left",
        "findings": event.findings,
    }
