"""The runs behind the page's numbers: where they are, and what reproduces them."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.reporting.commands import sweep_command
from switchhead_lab.reporting.report_data import MemberRun, ModelRow, ReportData
from switchhead_lab.tracking.file_names import CONFIG_FILE
from switchhead_lab.tracking.mlflow_pages import page_of_run

_LOUD_STATES = ("missing", "damaged", "failed", "never started")


@dataclass(frozen=True)
class RunEntry:
    """One run as listed.

    Attributes:
        number: Its number on the page; None for a run that never started.
        name: Its name; empty for a run that never started.
        folder: Folder of all runs, as lab.toml writes it, with a slash.
        state: Its state, "missing", "damaged" or "never started".
        seed: Its seed.
        reason: Why it has no result.
        mlflow: Address of its page in MLflow; empty if it has none.
        command: Command that reproduces or continues it; empty if none does.
    """

    number: int | None
    name: str
    folder: str
    state: str
    seed: int
    reason: str
    mlflow: str
    command: str

    @property
    def is_gap(self) -> bool:
        """Whether it leaves a gap."""
        return self.state in _LOUD_STATES

    @property
    def verb(self) -> str:
        """What the command does to the run."""
        if self.state == "finished":
            return "reproduce"
        return "train" if self.state in ("missing", "never started") else "continue"


@dataclass(frozen=True)
class RunGroup:
    """The runs of one model or search.

    Attributes:
        title: Its name.
        entries: Its runs.
    """

    title: str
    entries: tuple[RunEntry, ...]


@dataclass(frozen=True)
class Reference:
    """A link from a number to its runs.

    Attributes:
        anchor: Anchor of the first run.
        numbers: Numbers of all of them, separated by spaces; empty if there is only one.
    """

    anchor: str
    numbers: str


class Links(Protocol):
    """What tables need of runs: links to them, and text that does not depend on the machine."""

    def reference(self, names: Iterable[str]) -> Reference | None:
        """Return the link to runs; None without one."""

    def portable(self, text: str) -> str:
        """Return text without the workspace's place on this machine."""


class LinksOfAll:
    """The runs of several sweeps, for tables that show all of them."""

    def __init__(self, sweeps: Sequence["SweepRuns"]) -> None:
        self._sweeps = sweeps

    def reference(self, names: Iterable[str]) -> Reference | None:
        """Return the link to runs of any of the sweeps; None without one."""
        return link_to([one.numbers[name] for name in names for one in self._of(name)])

    def portable(self, text: str) -> str:
        """Return text without the workspace's place on this machine."""
        return self._sweeps[0].portable(text) if self._sweeps else text

    def _of(self, name: str) -> "list[SweepRuns]":
        return [one for one in self._sweeps if name in one.numbers][:1]


def link_to(numbers: Sequence[int]) -> Reference | None:
    """Return the link to the runs of these numbers; None without one."""
    if not numbers:
        return None
    several = " ".join(map(str, numbers)) if len(numbers) > 1 else ""
    return Reference(f"r{numbers[0]}", several)


class SweepRuns:
    """The runs of one sweep, numbered.

    Attributes:
        folder: Folder of all runs, as lab.toml writes it, with a slash.
        groups: Runs by model, then by search.
        numbers: Number of each run by its name.
        next_number: First number that is not used.
    """

    def __init__(self, data: ReportData, workspace: Workspace, first_number: int) -> None:
        self._data, self._workspace = data, workspace
        self.folder = f"{workspace.settings.runs_dir.rstrip('/')}/"
        self._tracking_uri = workspace.tracking_uri
        self.numbers: dict[str, int] = {}
        self.next_number = first_number
        self.groups = tuple(group for group in self._groups() if group.entries)

    @property
    def n_runs(self) -> int:
        """Number of runs that are listed."""
        return sum(len(group.entries) for group in self.groups)

    @cached_property
    def command(self) -> str:
        """Command that trains what the sweep lacks; empty if no sweep file declares it now."""
        return sweep_command(self._data.record.sweep, self._workspace.sweeps_dir)

    def reference(self, names: Iterable[str]) -> Reference | None:
        """Return the link to runs; None without one."""
        return link_to([self.numbers[name] for name in names if name in self.numbers])

    def portable(self, text: str) -> str:
        """Return text without the workspace's place on this machine."""
        return text.replace(f"{self._workspace.root}/", "")

    def _groups(self) -> Iterator[RunGroup]:
        for row in self._data.models:
            title = f"{row.name} ({row.role})" if row.role != "declared" else row.name
            yield RunGroup(title, tuple(self._of_model(row)))
        for study in dict.fromkeys(row.study for row in self._data.candidates):
            runs = [row.run for row in self._data.candidates if row.study == study]
            entries = (self._entry(run) for run in runs if run is not None and self._is_new(run))
            yield RunGroup(f"candidates of {study}", tuple(entries))

    def _of_model(self, row: ModelRow) -> Iterator[RunEntry]:
        by_seed = {run.member.seed: run for run in row.runs}
        for seed in row.seeds:
            run = by_seed.get(seed)
            if run is None:
                yield RunEntry(None, "", "", "never started", seed, "", "", self.command)
            elif self._is_new(run):
                yield self._entry(run)

    def _is_new(self, run: MemberRun) -> bool:
        return run.member.run_name not in self.numbers

    def _entry(self, run: MemberRun) -> RunEntry:
        number, name = self.next_number, run.member.run_name
        self.numbers[name] = number
        self.next_number += 1
        page = page_of_run(run.run.directory, self._tracking_uri) if run.run else None
        return RunEntry(
            number=number,
            name=name,
            folder=self.folder,
            state=run.state,
            seed=run.member.seed,
            reason="" if run.result else self.portable(" ".join(run.reason.split())),
            mlflow=page or "",
            command=self._command_of(run, f"{self.folder}{name}/{CONFIG_FILE}"),
        )

    def _command_of(self, run: MemberRun, config: str) -> str:
        if run.run is None:
            return self.command if run.state == "missing" else ""
        retrains = " --retrain" if run.result is not None else ""
        home = "~/" if config.startswith("~/") else ""  # which the shell expands unless quoted
        return f"lab train {home}{shlex.quote(config.removeprefix(home))}{retrains}"
