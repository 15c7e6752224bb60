"""Output of `lab sweep`: runs by state, the list of sweeps, one sweep in detail."""

import shlex
from collections.abc import Iterable, Iterator

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.number_text import NOTHING, short_count, short_hours, short_time
from switchhead_lab.sweeping.estimate import DEVICE_KINDS, DeviceKind, Speed, Speeds, speed_here
from switchhead_lab.sweeping.overview import SweepDetail, SweepOverview
from switchhead_lab.terminal_table import Table
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id
from switchhead_lab.views.match import match_tables

_OVERVIEW_COLUMNS = ("size", "table", "models", "done", "MACs", "CPU h", "GPU h", "left")
_COST_COLUMNS = ("model", "runs", "done", "MACs a run", "CPU h", "GPU h", "time a run", "left")


def outcome_lines(sweep: Sweep, record: SweepRecord, *, is_rung: bool = False) -> Iterator[str]:
    """Yield the number of runs of a sweep by state, and the next command after its last size.

    The best candidate's first run is also a candidate, and models may share a run; it counts once.
    """
    states = list({member.run_hash: member.state for member in record.members}.values())
    counts = ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states), key=states.index))
    yield f"sweep {sweep_id(sweep)}: {counts}"
    if not is_rung:
        yield f"next: lab report {sweep.name} --size {sweep.size}"
    elif sweep.size == sweep.ladder[-1]:
        yield f"next: lab report {sweep.name}"


def overview_table(overviews: Iterable[SweepOverview]) -> Table:
    """Return the list of sweeps at every size."""
    rows: list[list[str]] = []
    titles: dict[int, str] = {}
    for overview in overviews:
        title = f"{overview.sweep}: {overview.summary}"
        if title not in titles.values():
            titles[len(rows)] = title
        rows.append(_overview_cells(overview))
    title = "sweeps, each with its sizes (* default size)"
    return Table(title, _OVERVIEW_COLUMNS, rows, 2, group_titles=titles)


def _overview_cells(overview: SweepOverview) -> list[str]:
    table = NOTHING
    if overview.table is not None:
        size = "" if overview.paper_params is None else f" {overview.paper_params}M"
        table = f"{overview.table} {overview.paper_dataset}{size}"
    return [
        overview.size + ("*" if overview.is_default_size else ""),
        table,
        str(overview.n_models),
        f"{overview.n_done}/{overview.n_runs}",
        short_count(overview.macs),
        short_hours(overview.cpu_hours),
        short_hours(overview.gpu_hours),
        short_time(overview.seconds_left),
    ]


def model_tables(detail: SweepDetail) -> list[Table]:
    """Return the matched models of a sweep with their costs."""
    return match_tables(detail.sweep, detail.sweep.convention, detail.models)


def cost_table(detail: SweepDetail) -> Table:
    """Return the costs of a sweep's models and searches."""
    rows = [
        [
            cost.name,
            str(cost.n_runs),
            str(cost.n_done),
            short_count(cost.run_macs),
            short_hours(cost.cpu_hours),
            short_hours(cost.gpu_hours),
            short_time(cost.run_seconds),
            short_time(cost.seconds_left),
        ]
        for cost in detail.costs
    ]
    title = f"{_name(detail.sweep)}: runs of {detail.sweep.training.n_steps} steps"
    return Table(title, _COST_COLUMNS, rows)


def time_left_lines(detail: SweepDetail, name: str, overrides: Iterable[str] = ()) -> Iterator[str]:
    """Yield the runs of other code, and the estimated time left on this machine, if known.

    Args:
        detail: The sweep.
        name: Its name as given on the command line.
        overrides: Assignments of `--set`, as given on the command line.
    """
    if detail.n_changed:
        runs = _runs_of_other_code(detail.n_changed)
        sets = [word for one in overrides for word in ("--set", one)]
        command = shlex.join(["lab", "sweep", name, "--size", detail.sweep.size, *sets])
        yield (
            f"{runs}: `{command}` stops until you add --retrain changed or --reuse; the time to "
            "retrain is not part of the time left"
        )
    if detail.seconds_left is not None:
        left = f"about {short_time(detail.seconds_left)} left on this machine"
        yield f"{left}, without validation and pruning"


def other_code_lines(overviews: Iterable[SweepOverview]) -> Iterator[str]:
    """Yield the sweeps with done runs whose code has changed, if there are any."""
    changed = [
        f"{one.sweep} --size {one.size} ({one.n_changed} of {one.n_done})"
        for one in overviews
        if one.n_changed
    ]
    if changed:
        yield (
            f"done runs of other code, which `lab sweep NAME --size SIZE` rejects unless you add "
            f"--retrain changed or --reuse: {', '.join(changed)}"
        )


def _runs_of_other_code(n: int) -> str:
    return "1 done run is of other code" if n == 1 else f"{n} done runs are of other code"


def _name(sweep: Sweep) -> str:
    return f"{sweep.name}, size {sweep.size}"


def basis_of_estimates(speeds: Speeds) -> list[str]:
    """Return the basis of MACs and of time estimates, one line each."""
    lines = [
        "MACs: whole models, forward and backward, by the convention equations; `lab match` has "
        "every convention"
    ]
    lines += [_basis(kind, speeds.get(kind)) for kind in DEVICE_KINDS]
    if speed_here(speeds) is None:
        lines.append("times are unknown: no run has finished on this machine yet")
    if speeds:
        lines.append(
            "estimates are rough: for models never trained, they use MACs and the speed of other "
            "models of the family, or of the slowest family, of any size"
        )
    return lines


def _basis(kind: DeviceKind, speed: Speed | None) -> str:
    name = kind.upper()
    if speed is None:
        return f"{name} hours are unknown: no finished run on a {name} is recorded here"
    runs = "1 finished run" if speed.n_runs == 1 else f"{speed.n_runs} finished runs"
    place = "this machine" if speed.is_here else "other machines"
    return (
        f"{name} hours by {runs} on {place}: {', '.join(speed.devices)}; "
        f"models of up to {short_count(speed.largest_n_parameters)} parameters"
    )
