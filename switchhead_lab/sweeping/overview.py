"""One line for every sweep and size of a workspace (free of torch)."""

from collections.abc import Iterator
from dataclasses import dataclass

from switchhead_lab.config.sweep_files import list_sweep_files, read_sweep_file
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.sweeping.estimate import measured_speed
from switchhead_lab.sweeping.listing import part_costs, short_count, short_time
from switchhead_lab.tracking.record import list_runs


@dataclass(frozen=True)
class SweepOverview:
    """What a sweep compares at one size, what it costs and what of it has been run.

    Attributes:
        sweep: Name to run it by.
        size: Name of the size.
        is_default_size: Whether that size is taken when none is named.
        table: Table of the paper that it echoes; None for a comparison of our own.
        n_models: Models, a search counting as one.
        n_runs: Runs, a search counted to its end.
        n_done: Runs that finished or were pruned.
        macs: MACs of all runs, forward and backward.
        seconds_left: Estimated time of what is not done; None where nothing was measured.
        summary: One sentence.
    """

    sweep: str
    size: str
    is_default_size: bool
    table: int | None
    n_models: int
    n_runs: int
    n_done: int
    macs: float
    seconds_left: float | None
    summary: str

    def cells(self) -> list[str]:
        """Return the overview as cells of a table."""
        return [
            self.sweep,
            self.size + ("*" if self.is_default_size else ""),
            self.summary,
            "-" if self.table is None else str(self.table),
            str(self.n_models),
            str(self.n_runs),
            str(self.n_done),
            short_count(self.macs),
            short_time(self.seconds_left),
        ]


def sweep_overviews(workspace: Workspace) -> Iterator[SweepOverview]:
    """Yield every sweep of a workspace at every size, in order of name.

    Raises:
        ConfigError: If a sweep file is not valid.
        MatchError: If a declared model cannot be matched.
    """
    runs = list_runs(workspace.runs_dir)
    speed = measured_speed(runs)
    for path in list_sweep_files(workspace.sweeps_dir):
        file = read_sweep_file(path)
        for size in file.sizes:
            sweep = file.resolve(size)
            costs = part_costs(sweep, runs, speed)
            left = [cost.seconds_left for cost in costs if cost.seconds_left is not None]
            yield SweepOverview(
                sweep=str(path.relative_to(workspace.sweeps_dir).with_suffix("")),
                size=size,
                is_default_size=size == file.default_size,
                table=sweep.paper.table if sweep.paper else None,
                n_models=len(costs),
                n_runs=sum(cost.n_runs for cost in costs),
                n_done=sum(cost.n_done for cost in costs),
                macs=sum(cost.n_runs * cost.run_macs for cost in costs),
                seconds_left=sum(left) if left else None,
                summary=sweep.summary,
            )
