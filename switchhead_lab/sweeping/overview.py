"""Models and costs of a workspace's sweeps: an overview, or one sweep in detail (no torch)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import SweepFile, list_sweep_files, read_sweep_file
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.errors import LabError
from switchhead_lab.sweeping.estimate import Speeds
from switchhead_lab.sweeping.match_rows import Row, match_rows
from switchhead_lab.sweeping.part_costs import PartCost, part_costs
from switchhead_lab.sweeping.plan import all_variants
from switchhead_lab.tracking.record import RunRecord, warn_of_damage


@dataclass(frozen=True)
class SweepOverview:
    """Models, costs and progress of a sweep at one size.

    Attributes:
        sweep: Name of the sweep.
        size: Name of the size.
        is_default_size: Whether it is the default size, or one of the ladder.
        table: Table of the paper that it reproduces; None for our own comparisons.
        paper_dataset: Data set of the reproduced rows, or None.
        paper_params: Printed size of the models in those rows, in millions, or None.
        n_models: Models, a search counting as one.
        n_runs: Runs, with every trial of a search.
        n_done: Runs that finished or were pruned.
        n_changed: Done runs whose code has changed since.
        macs: MACs of all runs, forward and backward, by the `equations` convention.
        cpu_hours: Estimated time of all runs on a CPU; None if not measured.
        gpu_hours: Estimated time of all runs on a GPU; None if not measured.
        seconds_left: Estimated time of the remaining runs on this machine; None if not measured.
        summary: One sentence.
    """

    sweep: str
    size: str
    is_default_size: bool
    table: int | None
    paper_dataset: str | None
    paper_params: int | None
    n_models: int
    n_runs: int
    n_done: int
    n_changed: int
    macs: float
    cpu_hours: float | None
    gpu_hours: float | None
    seconds_left: float | None
    summary: str


def sweep_overviews(
    workspace: Workspace,
    runs: Sequence[RunRecord],
    speeds: Speeds,
    on_damage: Callable[[LabError], None] = warn_of_damage,
) -> Iterator[SweepOverview]:
    """Yield every sweep of a workspace at every size, sorted by name.

    Args:
        workspace: The workspace.
        runs: All runs.
        speeds: Basis of time estimates.
        on_damage: Called with the error of each unusable file or size, which is skipped.
    """
    for path in list_sweep_files(workspace.sweeps_dir):
        try:
            file = read_sweep_file(path)
        except LabError as error:
            on_damage(error)
            continue
        name = str(path.relative_to(workspace.sweeps_dir).with_suffix(""))
        for size in file.sizes:
            try:
                yield _overview(name, file, size, runs, speeds)
            except LabError as error:
                on_damage(error)


def _overview(
    name: str, file: SweepFile, size: str, runs: Sequence[RunRecord], speeds: Speeds
) -> SweepOverview:
    sweep = file.resolve(size)
    costs = part_costs(sweep, runs, speeds)
    return SweepOverview(
        sweep=name,
        size=size,
        is_default_size=size in file.default_sizes,
        table=sweep.paper.table if sweep.paper else None,
        paper_dataset=sweep.paper.dataset if sweep.paper else None,
        paper_params=sweep.paper.params if sweep.paper else None,
        n_models=len(costs),
        n_runs=sum(cost.n_runs for cost in costs),
        n_done=sum(cost.n_done for cost in costs),
        n_changed=sum(cost.n_changed for cost in costs),
        macs=sum(cost.n_runs * cost.run_macs for cost in costs),
        cpu_hours=_sum_of_known(cost.cpu_hours for cost in costs),
        gpu_hours=_sum_of_known(cost.gpu_hours for cost in costs),
        seconds_left=_sum_of_known(cost.seconds_left for cost in costs),
        summary=sweep.summary,
    )


@dataclass(frozen=True)
class SweepDetail:
    """The models and costs of one sweep.

    Attributes:
        sweep: The declaration at one size.
        models: One row per model and combination of the search space; see `match_rows`.
        costs: Cost of each declared model and of the search.
    """

    sweep: Sweep
    models: list[Row]
    costs: list[PartCost]

    @property
    def seconds_left(self) -> float | None:
        """Estimated time of the remaining runs on this machine; None if not measured."""
        return _sum_of_known(cost.seconds_left for cost in self.costs)

    @property
    def n_changed(self) -> int:
        """Done runs whose code has changed since."""
        return sum(cost.n_changed for cost in self.costs)

    def plain(self) -> Row:
        """Return the detail as plain data."""
        return {
            "sweep": self.sweep.name,
            "size": self.sweep.size,
            "summary": self.sweep.summary,
            "n_steps": self.sweep.training.n_steps,
            "models": self.models,
            "costs": [
                {
                    **asdict(cost),
                    "cpu_hours": cost.cpu_hours,
                    "gpu_hours": cost.gpu_hours,
                    "seconds_left": cost.seconds_left,
                }
                for cost in self.costs
            ],
            "seconds_left": self.seconds_left,
        }


def sweep_detail(sweep: Sweep, runs: Sequence[RunRecord], speeds: Speeds) -> SweepDetail:
    """Return the models and costs of a sweep.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    models = match_rows(sweep, all_variants(sweep))
    return SweepDetail(sweep, models, part_costs(sweep, runs, speeds))


def _sum_of_known(values: Iterable[float | None]) -> float | None:
    """Return the sum of the known values; None if all are unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
