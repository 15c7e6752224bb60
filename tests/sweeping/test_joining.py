"""What a worker finds when it joins others, and how often those that wait look again."""

from pathlib import Path

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.other_hosts import NoFetcher
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.sweeping.record_keeper import joined_record
from switchhead_lab.sweeping.starts import Starts
from switchhead_lab.sweeping.worker import pause_seconds
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord

SWEEP = Sweep.model_validate(DECLARATION)
STALE = SweepMember(
    model="other", role="declared", seed=0, run_name="other", run_hash="0" * 64, state="finished"
)


@pytest.mark.parametrize("others", [set(), {"another"}])
def test_only_the_first_worker_continues_the_record(tmp_path: Path, others: set[str]) -> None:
    variants = declared_variants(SWEEP)
    starts = Starts(SWEEP, variants, tmp_path, NoFetcher())
    known = SweepRecord(sweep=SWEEP, started_at=1.0, updated_at=1.0, members=[STALE])
    record = joined_record(SWEEP, known, others, variants, starts)
    assert record.members == ([STALE] if others else [])
    assert (record is known) == bool(others)


def test_a_worker_with_another_declaration_continues_the_record(tmp_path: Path) -> None:
    longer = SWEEP.model_copy(update={"summary": "another"})
    variants = declared_variants(longer)
    starts = Starts(longer, variants, tmp_path, NoFetcher())
    known = SweepRecord(sweep=SWEEP, started_at=1.0, updated_at=1.0)
    assert joined_record(longer, known, {"another"}, variants, starts).sweep == longer


@pytest.mark.parametrize(("n_workers", "most"), [(1, 1.0), (10, 1.0), (500, 50.0)])
def test_many_workers_that_wait_look_less_often(
    monkeypatch: pytest.MonkeyPatch, n_workers: int, most: float
) -> None:
    monkeypatch.setattr("switchhead_lab.sweeping.worker._POLL_SECONDS", 1.0)
    pauses = {pause_seconds(n_workers) for _ in range(50)}
    assert most / 2 <= min(pauses) <= max(pauses) <= most
    assert len(pauses) > 1
