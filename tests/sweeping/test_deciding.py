"""Seeds are added in pairs, cheapest claim first, until claims are decided; looks are recorded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.claims.state import ClaimState
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.sweeping.deciding import (
    extended,
    note_looks,
    run_until_decided,
    with_added_seeds,
)
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord

MODELS = [
    {"kind": "dense", "name": "two-heads", "n_heads": 2},
    {"kind": "dense", "name": "one-head", "n_heads": 1},
]
PRICES = {"two-heads-vs-dense": (2.0, 1.0), "one-head-vs-dense": (1.0, 1.0)}


@pytest.fixture
def sweep() -> Sweep:
    claims = [
        {"model": name, "quality": {"margin": 0.1}, "max_seeds": 7}
        for name in ("two-heads", "one-head")
    ]
    return Sweep.model_validate({**DECLARATION, "models": MODELS, "claims": claims})


class Lab:
    """A fake lab: records sweeps without training, and decides each claim at a given seed count."""

    def __init__(self, runs_dir: Path, sweep: Sweep, needed: dict[str, int]) -> None:
        self.needed = needed
        self.directory = SweepDir.of(runs_dir, sweep)
        self.passes: list[dict[str, list[int]]] = []
        self.failing: set[int] = set()

    def run(self, sweep: Sweep) -> SweepRecord:
        directory = self.directory
        known = directory.read_known() or SweepRecord(sweep=sweep, started_at=1.0, updated_at=1.0)
        record = known.model_copy(update={"sweep": sweep})
        directory.write(record)
        self.passes.append({name: entry.seeds for name, entry in sweep.entries.items()})
        return record

    def judge(self, record: SweepRecord) -> list[ClaimState]:
        return [
            self._state(record.sweep, claim.model, claim.title)
            for claim in record.sweep.stated_claims
        ]

    def _state(self, sweep: Sweep, model: str, name: str) -> ClaimState:
        seeds = [sweep.entries[one].seeds for one in (model, "dense")]
        n_pairs = len((set(seeds[0]) & set(seeds[1])) - self.failing)
        is_open = n_pairs < self.needed[name] and n_pairs < 7
        return ClaimState(name, (model, "dense"), n_pairs, 7, is_open, PRICES[name])


@pytest.fixture
def lab(tmp_path: Path, sweep: Sweep) -> Callable[..., Lab]:
    return lambda **needed: Lab(
        tmp_path,
        sweep,
        {name: needed[name.partition("-vs")[0].replace("-", "_")] for name in PRICES},
    )


def decide(lab: Lab, sweep: Sweep) -> tuple[SweepRecord, list[str]]:
    said: list[str] = []
    return run_until_decided(sweep, lab.directory, lab.run, lab.judge, said.append), said


def test_the_cheapest_claim_gets_seeds_first(lab, sweep) -> None:
    worker = lab(one_head=3, two_heads=3)
    record, said = decide(worker, sweep)
    assert [line.partition(" ")[0] for line in said] == ["one-head-vs-dense", "two-heads-vs-dense"]
    assert said[0].endswith("is undecided with 1 seeds: adding seeds 1 and 2")
    # The second claim uses the baseline's new seeds too.
    seeds = {name: entry.seeds for name, entry in record.sweep.entries.items()}
    assert seeds == {"dense": [0, 1, 2], "one-head": [0, 1, 2], "two-heads": [0, 1, 2]}


def test_seeds_that_one_model_has_make_a_claim_cheaper(lab, sweep) -> None:
    """The costlier model needs one run a seed, the cheaper one and the baseline two."""
    declared = sweep.model_copy(
        update={"models": [sweep.models[0].model_copy(update={"seeds": [0, 1]}), sweep.models[1]]}
    )
    shorter = declared.model_copy(
        update={"baseline": declared.baseline.model_copy(update={"seeds": [0]})}
    )
    _, said = decide(lab(one_head=3, two_heads=3), shorter)
    # Seeds 1 and 2: two runs of the baseline and one of "two-heads" (4) against two of each (4),
    # then the first claim in order.
    assert said[0].startswith("two-heads-vs-dense")


def test_looks_are_recorded_once_each(lab, sweep) -> None:
    worker = lab(one_head=5, two_heads=1)
    record, _ = decide(worker, sweep)
    assert record.looks == {"one-head-vs-dense": [3, 5]}
    assert note_looks(worker.directory, worker.judge(record)) == record


def test_no_claim_gets_more_than_its_seeds(lab, sweep) -> None:
    worker = lab(one_head=100, two_heads=1)
    record, _ = decide(worker, sweep)
    assert len(record.sweep.entries["one-head"].seeds) == 7
    assert record.looks["one-head-vs-dense"] == [3, 5, 7]


def test_a_decided_sweep_is_run_once(lab, sweep) -> None:
    worker = lab(one_head=1, two_heads=1)
    _, said = decide(worker, sweep)
    assert said == []
    assert len(worker.passes) == 1


def test_failing_runs_do_not_add_seeds_forever(lab, sweep) -> None:
    worker = lab(one_head=3, two_heads=1)
    worker.failing = set(range(1, 1000))
    _, said = decide(worker, sweep)
    assert len(said) == 1


def test_added_seeds_stay_with_the_sweep(lab, sweep) -> None:
    worker = lab(one_head=3, two_heads=1)
    record, _ = decide(worker, sweep)
    assert with_added_seeds(sweep, worker.directory) == record.sweep
    again, said = decide(worker, sweep)
    assert said == []
    assert again.sweep == record.sweep
    assert extended(sweep, {}) == sweep
