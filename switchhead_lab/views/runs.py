"""Output of `lab runs` and `lab train`: one run, two runs side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import to_toml
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.number_text import NOTHING, local_time
from switchhead_lab.terminal_table import Table
from switchhead_lab.tracking.code_identity import (
    CodeIdentity,
    code_of,
    describe_change,
    recorded_code,
)
from switchhead_lab.tracking.comparison import FieldDifference, ResultPair
from switchhead_lab.tracking.record import RunRecord, find_by_config, read_run
from switchhead_lab.tracking.run_summary import run_paths, summarise_run
from switchhead_lab.views.run_list import state_text


def result_line(run: RunRecord) -> str:
    """Return the result of a finished run in one line."""
    assert run.result is not None, "a finished run has a result"
    result, metric = run.result, run.config.objective.headline
    return (
        f"{run.name}: validation {metric.label} {metric.text(result.value('validation', metric))}; "
        f"test {metric.text(result.value('test', metric))}; "
        f"{result.ms_per_step:.0f} ms/step"
    )


def already_trained(runs_dir: Path, config: RunConfig) -> str:
    """Return the notice that a configuration has a finished run; empty if it has none."""
    path = find_by_config(runs_dir, config)
    if path is None or read_run(path).result is None:
        return ""
    return (
        f"already trained as run {path.name}, so nothing was trained; see "
        f"`lab runs show {path.name}`, or retrain with --retrain"
    )


def describe_run(record: RunRecord) -> str:
    """Return everything about a run as text: TOML and lines of names and values."""
    summary = summarise_run(record)
    status = {
        "state": state_text(summary),
        "step": f"{summary.step} of {summary.n_steps}",
        "attempt": record.status.attempt,
        "host": f"{record.status.host}, process {record.status.pid}",
        "started": local_time(record.status.started_at),
        "ended": local_time(record.status.ended_at) if record.status.ended_at else NOTHING,
        "reason": record.status.reason or NOTHING,
    }
    result = record.result.model_dump(mode="json") if record.result else {"result": "none yet"}
    sections = {
        "labels": {"hash": record.run_hash, **record.labels.model_dump(mode="json")},
        "status": status,
        "result": result,
        "provenance": dict(_provenance_lines(record.provenance, code_of(record.config))),
        "paths": run_paths(record),
    }
    text = [record.name, "", "configuration", _indent(to_toml(record.config).strip())]
    for title, lines in sections.items():
        text += ["", title]
        width = max((len(key) for key in lines), default=0)
        text += [f"  {key:{width}}  {value}" for key, value in lines.items()]
    return "\n".join(text)


def _since(before: CodeIdentity, now: CodeIdentity) -> str:
    """Return what has changed in a run's code since."""
    change = describe_change(before, now)
    return f", {change} since" if change else ""


def _provenance_lines(provenance: dict[str, Any], now: CodeIdentity) -> Iterator[tuple[str, str]]:
    git = provenance.get("git") or {}
    commit = git.get("commit")
    if commit:
        dirty = ", with uncommitted changes" if git.get("dirty") else ""
        if git.get("dirty", False) is None:
            dirty = f", uncommitted changes unknown: {git.get('reason', 'not recorded')}"
        yield "commit", f"{commit} ({git.get('branch') or 'no branch'}){dirty}"
    else:
        yield "commit", f"unknown: {git.get('reason', 'not recorded')}"
    code = recorded_code(provenance)
    yield "code", "not recorded" if code is None else f"{code.digest}{_since(code, now)}"
    versions = provenance.get("versions") or {}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    host = provenance.get("host") or {}
    yield "machine", f"{host.get('hostname', '?')}, {host.get('cpu', '?')}"
    yield "command", " ".join(provenance.get("argv") or []) or NOTHING
    data = provenance.get("data_manifest") or {}
    yield "data digest", str(data.get("digest", NOTHING))
    if start := provenance.get("initial_weights"):
        yield "initial weights", f"{start['source']}, step {start['step']}"
        for key, meaning in (("fresh", "initialised from the seed"), ("unused", "not taken")):
            if start[key]:
                yield meaning, ", ".join(start[key])


def field_table(differences: Sequence[FieldDifference]) -> Table:
    """Return the fields in which two configurations differ."""
    rows = [[one.field, _value(one.first), _value(one.second)] for one in differences]
    return Table("Configuration", ("field", "A", "B"), rows, n_text_columns=3)


def result_table(pairs: Sequence[ResultPair]) -> Table:
    """Return the figures of two results and their differences."""
    rows = [
        [
            pair.figure,
            _value(pair.first),
            _value(pair.second),
            "" if pair.difference is None else f"{pair.difference:+.6g}",
        ]
        for pair in pairs
    ]
    return Table("Results", ("figure", "A", "B", "B - A"), rows)


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())
