import io
import sys

import pytest

from switchhead_lab.objectives.language_model import LanguageModelling
from switchhead_lab.tracking.record import MetricPoint
from switchhead_lab.training import progress
from switchhead_lab.training.progress import ProgressDisplay


def point(step: int, **metrics: float) -> MetricPoint:
    return MetricPoint(
        step, 10 * step, 0.0, {k.replace("_", "/", 1): v for k, v in metrics.items()}
    )


def test_plain_lines_without_a_terminal(monkeypatch) -> None:
    now = iter([0.0, 0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines: list[str] = []
    with ProgressDisplay("run", 100, LanguageModelling(), lines.append) as display:
        display.observe(point(10, train_loss_nats=5.0))
        display.observe(point(50, train_loss_nats=4.0, train_tokens_per_second=1234.0))
        display.observe(point(60, train_loss_nats=3.5))
        display.observe(point(100, validation_loss_nats=3.0, validation_perplexity=20.0))
    assert lines[0] == "run: 100 steps"
    assert lines[1] == "  step 50/100  loss 4.000  1,234 tokens/s  ETA 0:25"
    assert lines[2] == "  step 100/100  loss 3.500  val ppl 20.00  1,234 tokens/s"
    assert len(lines) == 3


def test_a_bar_prints_markup_in_names_verbatim(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressDisplay("p[/q] [b]:smile:", 2, LanguageModelling()) as display:
        display.observe(point(1, train_loss_nats=5.0))
    assert "p[/q] [b]:smile:" in terminal.getvalue()
