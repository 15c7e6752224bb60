"""Horizontal axes of trade-off figures: counted costs, and the time of a training step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from switchhead_lab.budget.cost_axes import CostAxis, find_axis
from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.report_data import CandidateRow, ModelRow
from switchhead_lab.reporting.resources import StepTimes

TIME = "time"
"""Name of the axis of step times."""


@dataclass(frozen=True)
class FigureAxis:
    """A horizontal axis of trade-off figures.

    Attributes:
        name: Name on the command line and in file names.
        convention: Convention of its counts; empty if it has none.
        heading: Name without what it refers to, which captions say.
        unit: Unit of its values.
        label: Label in print; format it with `unit`, an SI prefix such as "k " or "M ".
        read: Returns the value of a model or candidate; None if it has none.
        undrawn: End of the sentence about a model without value.
    """

    name: str
    convention: str
    heading: str
    unit: str
    label: str
    read: Callable[[ModelRow | CandidateRow], float | None]
    undrawn: str


def cost_figure_axis(axis: CostAxis) -> FigureAxis:
    """Return the axis of a counted cost."""
    kind = axis.kind
    return FigureAxis(
        name=kind.name,
        convention=axis.convention,
        heading=kind.name.replace("-", " ").replace("macs", "MACs"),
        unit=kind.unit,
        label=axis.label,
        read=lambda row: None if row.costs is None else axis.read(row.costs),
        undrawn=f"figure of {kind.label}, which the {axis.convention} convention does not define "
        "for it",
    )


def time_figure_axis(times: StepTimes) -> FigureAxis:
    """Return the axis of step times; only models that were timed together have a value."""
    ms = times.ms

    def read(row: ModelRow | CandidateRow) -> float | None:
        return ms[row.name] / 1000.0 if isinstance(row, ModelRow) and row.name in ms else None

    return FigureAxis(
        name=TIME,
        convention="",
        heading="time of a training step",
        unit="s",
        label="time of a training step ({unit}s, all models timed in turn in one process)",
        read=read,
        undrawn="figure of step times, since it was not timed beside the others",
    )


def find_figure_axes(names: Sequence[str], convention: str, times: StepTimes) -> list[FigureAxis]:
    """Return axes by name.

    Args:
        names: "time", or names of costs as in `find_axis`.
        convention: Convention of costs that are named without one.
        times: Step times of the report's models.

    Raises:
        ConfigError: If an axis does not exist, or none of the models was timed.
    """
    axes = []
    for name in names:
        if name != TIME:
            axes.append(cost_figure_axis(find_axis(name, convention, also=(TIME,))))
        elif times.ms:
            axes.append(time_figure_axis(times))
        else:
            raise ConfigError(
                f'axis "{TIME}": no step times of these models; '
                f"`{times.command or 'lab bench step'}` measures them"
            )
    return axes
