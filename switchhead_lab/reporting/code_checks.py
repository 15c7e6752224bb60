"""Warnings about the code of a report's runs: where it differs, and what has changed since."""

from collections import defaultdict
from collections.abc import Iterator

from switchhead_lab.reporting.commands import how_to
from switchhead_lab.reporting.report_data import ReportData
from switchhead_lab.tracking.code_identity import (
    CodeIdentity,
    changed_files,
    code_of,
    describe_files,
    recorded_code,
)
from switchhead_lab.tracking.record import RunRecord


def code_identity_lines(data: ReportData) -> list[str]:
    """Return warnings and notes about code that computed the runs of a report.

    It is a warning where a model's own code is concerned, a note where shared code is.
    """
    runs = {record.name: record for record in data.records}
    known = {name: code for name, run in runs.items() if (code := recorded_code(run.provenance))}
    lines = [*_differences(runs, known), *_changes_since(data, runs, known)]
    if len(known) < len(runs):
        n_unknown = len(runs) - len(known)
        lines.append(f"Note: the code of {n_unknown} of {len(runs)} runs was not recorded.")
    return lines


def _differences(runs: dict[str, RunRecord], known: dict[str, CodeIdentity]) -> Iterator[str]:
    """Yield the files of which the runs had several versions."""
    versions: dict[str, set[str]] = defaultdict(set)
    for code in known.values():
        for name, digest in code.files.items():
            versions[name].add(digest)
    differing = {name for name, digests in versions.items() if len(digests) > 1}
    own = differing & {name for code in known.values() for name in code.own}
    if own:
        models = {runs[name].labels.variant for name, code in known.items() if own & {*code.own}}
        yield (
            f"WARNING: different versions of {describe_files(sorted(own))} computed the runs of "
            f"{', '.join(sorted(models))}; their results are not comparable."
        )
    if shared := sorted(differing - own):
        yield f"Note: the runs were computed by different versions of {describe_files(shared)}."


def _changes_since(
    data: ReportData, runs: dict[str, RunRecord], known: dict[str, CodeIdentity]
) -> Iterator[str]:
    """Yield the files that have changed since the runs."""
    shared, own, models = set[str](), set[str](), set[str]()
    for name, code in known.items():
        now = code_of(runs[name].config)
        changed = {*changed_files(code, now)}
        mine = changed & {*code.own, *now.own}
        shared |= changed - mine
        own |= mine
        if mine:
            models.add(runs[name].labels.variant)
    if not own | shared:
        return
    options = ("--retrain", "changed")
    anew = how_to(data.record.sweep, data.sweeps_dir, "retrains them", options=options)
    if own:
        theirs = "its" if len(models) == 1 else "their"
        yield (
            f"WARNING: the code of {', '.join(sorted(models))} has changed since {theirs} runs "
            f"({describe_files(sorted(own))}); {anew}."
        )
    if shared - own:
        files = describe_files(sorted(shared - own))
        yield f"Note: shared code has changed since the runs ({files}); {anew}."
