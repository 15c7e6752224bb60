"""Types of the fixtures that make runs, points and sweeps."""

from collections.abc import Callable

from switchhead_lab.tracking.record import MetricPoint, RunRecord
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.tracking.sweep_record import SweepRecord

MakeRun = Callable[..., RunRecord]
OpenRun = Callable[..., RunDir]
MakePoint = Callable[..., MetricPoint]
WriteSweep = Callable[..., SweepRecord]
