"""Progress display: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from switchhead_lab.objectives.base import Objective
from switchhead_lab.objectives.metrics import LOSS
from switchhead_lab.terminal import plain_console, tell
from switchhead_lab.tracking.record import MetricPoint

_SECONDS_BETWEEN_LINES = 15.0


class ProgressDisplay:
    """Hook that shows the training loss, validation metrics, tokens/s and the time left.

    Use it as a context manager around training.
    """

    def __init__(
        self,
        name: str,
        n_steps: int,
        objective: Objective,
        write: Callable[[str], None] | None = None,
    ) -> None:
        self._name, self._n_steps, self._metrics = name, n_steps, objective.metrics
        self._figures: dict[str, float] = {}
        self._last_line = self._started = time.monotonic()
        self._first_step: int | None = None
        self._write = write or tell
        self._bar = _make_bar() if write is None and sys.stderr.isatty() else None
        self._task: TaskID | None = None

    def __enter__(self) -> "ProgressDisplay":
        """Start the display."""
        if self._bar is not None:
            # On its own line: with the metrics it would exceed 80 columns.
            self._bar.console.print(self._name)
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=self._n_steps, figures="")
        else:
            self._write(f"{self._name}: {self._n_steps} steps")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the display; the bar stays on the screen."""
        if self._bar is not None:
            self._bar.stop()

    def observe(self, point: MetricPoint) -> None:
        """Show a point; without a terminal, at most one line every 15 seconds, and the last one."""
        if self._first_step is None:
            self._first_step, self._started = point.step, time.monotonic()
        self._figures.update(point.metrics)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=point.step, figures=self._describe())
            return
        now = time.monotonic()
        is_final = point.step == self._n_steps and f"validation/{LOSS.name}" in point.metrics
        if is_final or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = "" if is_final else f"  {self._time_left(point.step, now)}"
            self._write(f"  step {point.step}/{self._n_steps}  {self._describe()}{left}")

    def _describe(self) -> str:
        figures = self._figures
        shown = []
        if (loss := figures.get("train/loss_nats")) is not None:
            shown.append(f"loss {loss:.3f}")
        for metric in self._metrics:
            if (value := figures.get(f"validation/{metric.name}")) is not None:
                shown.append(f"val {metric.short_label} {metric.text(value)}")
        if (speed := figures.get("train/tokens_per_second")) is not None:
            shown.append(f"{speed:,.0f} tokens/s")
        return "  ".join(shown)

    def _time_left(self, step: int, now: float) -> str:
        done = step - (self._first_step or 0)
        if done <= 0:
            return "ETA -:--"
        seconds = round((now - self._started) / done * (self._n_steps - step))
        return f"ETA {seconds // 60}:{seconds % 60:02d}"


def _make_bar() -> Progress:
    return Progress(
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=plain_console(stderr=True),
    )
