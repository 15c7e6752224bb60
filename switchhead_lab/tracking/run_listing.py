"""The listing of runs: figures of each run, kept in a file once a run has ended.

runs/.listing.json has the figures of ended runs with the stamps of the files they were read from.
It is only a cache: entries whose files changed are read anew, and it may be deleted at any time.
"""

import contextlib
import json
import os
import typing
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchhead_lab import __version__
from switchhead_lab.errors import LabError, RecordError
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.file_names import (
    CONFIG_FILE,
    LABELS_FILE,
    PROVENANCE_FILE,
    RESULT_FILE,
    STATUS_FILE,
    UNSYNCED_FILE,
)

if TYPE_CHECKING:
    from switchhead_lab.config.workspace import Workspace
    from switchhead_lab.tracking.record import RunState

# Record schemas and their imports take longer than a whole listing, so only misses load them.

_CACHE_FILE = ".listing.json"
# All that `read_run` reads.
_READ_FILES = (STATUS_FILE, RESULT_FILE, CONFIG_FILE, LABELS_FILE, PROVENANCE_FILE)


@dataclass(frozen=True)
class RunSummary:
    """A run in a listing; figures are None until the run is finished.

    Attributes:
        name: The run's name.
        run_hash: Its identity.
        sweep: Name of the sweep that first requested it; empty for a standalone run.
        state: Its state; "interrupted" if its status is "running" but its process is gone.
        is_process_gone: Whether its process is gone although its status is "running".
        step: Optimiser steps done.
        n_steps: Optimiser steps configured.
        headlines: The objective's headline metric by split, such as `ppl 31.20`.
        metrics: `validation_<metric>` and `test_<metric>` of the run's objective.
        n_parameters: Parameters of the built model.
        ms_per_step: Median wall time of an optimiser step, milliseconds.
        started_at: Start of the latest attempt, seconds since 1970.
        is_unsynced: Whether MLflow's copy is incomplete or not verified.
    """

    name: str
    run_hash: str
    sweep: str
    state: "RunState"
    is_process_gone: bool
    step: int
    n_steps: int
    headlines: dict[str, str]
    metrics: dict[str, float | None]
    n_parameters: int | None
    ms_per_step: float | None
    started_at: float
    is_unsynced: bool

    def as_data(self) -> dict[str, Any]:
        """Return the summary as plain data, with the metrics of all registered objectives."""
        from switchhead_lab.objectives.registry import objectives
        from switchhead_lab.tracking.record import SCORED_SPLITS

        names = dict.fromkeys(m.name for one in objectives().values() for m in one.all_metrics())
        every = [f"{split}_{name}" for name in names for split in SCORED_SPLITS]
        data = asdict(self)
        del data["headlines"], data["metrics"]
        return {**data, **{name: self.metrics.get(name) for name in every}}


Stamps = list[list[int] | None]
"""Modification time (ns), size and inode of each of `_READ_FILES`; None for a missing one."""


def list_summaries(workspace: "Workspace") -> list[RunSummary]:
    """Return the figures of all readable runs of a workspace, by start time.

    Warns on stderr of run directories that cannot be read.
    """
    runs_dir = workspace.runs_dir
    cache = _Cache(runs_dir / _CACHE_FILE, plugins=workspace.settings.plugins)
    summaries = []
    for directory in _subfolders(runs_dir):
        stamps = _stamps(directory)
        if _is_run(stamps) and (summary := cache.get(directory, stamps) or _read(directory)):
            cache.put(summary, stamps)
            summaries.append(summary)
    cache.save(summary.name for summary in summaries)
    return sorted(summaries, key=lambda one: (one.started_at, one.name))


def _subfolders(runs_dir: Path) -> list[Path]:
    """Return the folders in a folder by name; none if it is missing."""
    try:
        names = sorted(entry.name for entry in os.scandir(runs_dir) if entry.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{runs_dir}: cannot be read: {error.strerror}") from None
    return [runs_dir / name for name in names]


def _stamps(directory: Path) -> Stamps:
    stamps: Stamps = []
    for name in _READ_FILES:
        try:
            found = os.stat(os.path.join(directory, name))
        except FileNotFoundError:
            stamps.append(None)
        except OSError:
            stamps.append([])  # there, but inaccessible
        else:
            stamps.append([found.st_mtime_ns, found.st_size, found.st_ino])
    return stamps


def _is_run(stamps: Stamps) -> bool:
    """Return whether a directory holds a run; one that is being created does not yet."""
    status, result, *_ = stamps
    return status is not None or result is not None


def _read(directory: Path) -> RunSummary | None:
    """Read the figures of a run from its record; warn and return None if it is damaged."""
    from switchhead_lab.tracking.record import read_run, warn_of_damage
    from switchhead_lab.tracking.run_summary import summarise_run

    try:
        return summarise_run(read_run(directory))
    except LabError as error:
        warn_of_damage(error)
        return None


class _Cache:
    """Figures of ended runs by name, each with the stamps of the files it was read from."""

    def __init__(self, path: Path, plugins: Sequence[str]) -> None:
        self._path = path
        # Records are read with the schemas of a version and of the plugins.
        self._header = {"version": __version__, "plugins": list(plugins)}
        self._entries: dict[str, Any] = {}
        self._is_changed = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(path.read_bytes())
            if data["header"] == self._header:
                self._entries = dict(data["runs"])

    def get(self, directory: Path, stamps: Stamps) -> RunSummary | None:
        """Return the figures of an ended run; None if one of its files has another stamp."""
        entry = self._entries.get(directory.name)
        if entry is None or entry["stamps"] != stamps:
            return None
        is_unsynced = os.path.isfile(os.path.join(directory, UNSYNCED_FILE))
        return RunSummary(**entry["summary"], is_unsynced=is_unsynced)

    def put(self, summary: RunSummary, stamps: Stamps) -> None:
        """Keep the figures of an ended run, read after its files had these stamps.

        The state of a run whose status is "running" depends on its process too.
        """
        entry = self._entries.get(summary.name)
        if summary.state == "running" or summary.is_process_gone:
            return
        if entry is not None and entry["stamps"] == stamps:
            return
        kept = asdict(summary)
        del kept["is_unsynced"]
        self._entries[summary.name] = {"stamps": stamps, "summary": kept}
        self._is_changed = True

    def save(self, names: Iterable[str]) -> None:
        """Write the entries of these runs; a folder that cannot be written goes without."""
        if not self._is_changed:
            return
        runs = {name: self._entries[name] for name in names if name in self._entries}
        with contextlib.suppress(LabError):
            write_text(self._path, json.dumps({"header": self._header, "runs": runs}))


def select_runs(
    runs: Iterable[RunSummary], workspace: "Workspace", *, sweep: str = "", state: str = ""
) -> list[RunSummary]:
    """Return the runs of a sweep and with a state.

    Args:
        runs: Runs to choose from.
        workspace: Their workspace.
        sweep: Name or id of a sweep, or name of its file; empty keeps all.
        state: State as in `RunSummary`; empty keeps all.

    Raises:
        RecordError: If there is no such sweep or no such state.
    """
    runs = list(runs)
    if sweep:
        runs = _runs_of_sweep(runs, workspace, sweep)
    return _with_state(runs, state) if state else runs


def _with_state(runs: list[RunSummary], state: str) -> list[RunSummary]:
    from switchhead_lab.config.files import near_miss
    from switchhead_lab.tracking.record import RunState

    states = typing.get_args(RunState)
    if state not in states:
        raise RecordError(
            f'no state "{state}"{near_miss(state, states)}; states: {", ".join(states)}'
        )
    return [run for run in runs if run.state == state]


def _runs_of_sweep(runs: list[RunSummary], workspace: "Workspace", sweep: str) -> list[RunSummary]:
    from switchhead_lab.config.files import near_miss
    from switchhead_lab.config.sweep_files import recorded_name
    from switchhead_lab.tracking.sweep_dir import list_sweep_records
    from switchhead_lab.tracking.sweep_record import sweep_id

    sweep = recorded_name(workspace.sweeps_dir, sweep)
    known = {run.sweep for run in runs if run.sweep}
    members: set[str] = set()
    for record in list_sweep_records(workspace.runs_dir):
        names = {record.sweep.name, sweep_id(record.sweep)}
        known |= names
        if sweep in names:
            members.update(member.run_hash for member in record.members)
    if sweep not in known:
        hint = near_miss(sweep, sorted(known))
        raise RecordError(f'no runs of a sweep "{sweep}"{hint} in {workspace.runs_dir}')
    return [run for run in runs if run.run_hash in members or run.sweep == sweep]
