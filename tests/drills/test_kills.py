"""Drill: a sweep with two searches and a source of weights is killed at random instants.

Nothing may show it. The sweep is the smoke sweep with a longer search, a model that continues from
the baseline, and a search of that model's learning rate.

Minutes long: `make drill`. The number of kills is DRILL_KILLS, 50 by default.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_outcome import assert_mirrored, outcome, sweep_record

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.record import read_run

pytestmark = pytest.mark.drill

N_KILLS = int(os.environ.get("DRILL_KILLS", "50"))
SMOKE_SWEEP = Path(__file__).parents[2] / "sweeps/smoke/matched-params.toml"
# More checkpoints, seeds and candidates than it has, and a pruner that has something to prune.
OVERRIDES = (
    "training.n_steps=12",
    "training.validate_every=4",
    "training.checkpoint_every=2",
    "baseline.seeds=[0, 1]",
    "studies.switchhead.n_trials=3",
    "studies.switchhead.n_pruning_warmup_steps=4",
)
FURTHER_MODELS = """
[[models]]
kind = "dense"
name = "continued"
n_heads = 4
initial_weights = "dense"
seeds = [0, 1]

[[studies]]
name = "rates"
model = { kind = "dense", n_heads = 4, initial_weights = "dense" }
n_trials = 2
seeds = [0]
space = { "training.learning_rate" = { low = 5e-4, high = 2e-3, log = true } }
"""
SWEEP = ("sweep", SMOKE_SWEEP.stem, *(word for value in OVERRIDES for word in ("--set", value)))


def make_workspace(root: Path) -> Workspace:
    (root / "sweeps").mkdir(parents=True)
    (root / "lab.toml").write_text('device = "cpu"\n')
    text, sizes = SMOKE_SWEEP.read_text().split("[sizes", 1)
    (root / "sweeps" / SMOKE_SWEEP.name).write_text(f"{text}{FURTHER_MODELS}\n[sizes{sizes}")
    return find_workspace(root, environment={})


def lab(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "switchhead_lab", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def sweep_until_killed(root: Path, seconds: float) -> bool:
    """Start the sweep and kill it after a while; tell whether it was done before."""
    command = [sys.executable, "-m", "switchhead_lab", *SWEEP]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
    assert process.returncode == 0, errors
    return True


def kill_until_done(root: Path, seconds: float, generator: random.Random) -> int:
    """Start the sweep again and again, killing it, until it is done; return how often."""
    n_kills = 0
    # A quarter of an undisturbed sweep's time at most: most attempts do not come far.
    while not sweep_until_killed(root, generator.uniform(0.05, 0.25) * seconds):
        n_kills += 1
    return n_kills


def test_kills_at_random_instants_change_nothing(tmp_path: Path) -> None:
    whole = make_workspace(tmp_path / "whole")
    started = time.monotonic()
    lab(whole.root, *SWEEP)
    seconds = time.monotonic() - started
    expected = outcome(whole)
    generator = random.Random(0)
    n_kills = number = 0
    while n_kills < N_KILLS:
        number += 1
        killed = make_workspace(tmp_path / f"killed-{number}")
        n_kills += kill_until_done(killed.root, seconds, generator)
        lab(killed.root, "runs", "sync")
        assert outcome(killed) == expected
        assert_mirrored(killed)
        for member in sweep_record(killed).members:
            assert read_run(killed.runs_dir / member.run_name).provenance["drift"] == []
