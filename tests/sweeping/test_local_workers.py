"""A machine divided among workers, and their processes."""

import sys
import time

import pytest

from switchhead_lab.sweeping.local_workers import (
    Share,
    beside,
    deal_shares,
    worker_arguments,
    worker_command,
)
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.training.change_policy import STRICT, ChangePolicy


@pytest.mark.parametrize(
    ("n_workers", "n_cores", "devices", "environment", "expected"),
    [
        (2, 8, [], {}, [Share(4), Share(4)]),
        (3, 2, [], {}, [Share(1)] * 3),
        (2, 8, [], {"OMP_NUM_THREADS": "3"}, [Share(3), Share(3)]),
        (2, 8, ["0", "1"], {}, [Share(4, "0"), Share(4, "1")]),
        (1, 8, ["5", "6"], {}, [Share(8, "5")]),
        (3, 6, ["0", "1"], {}, [Share(2, "0", 0.5), Share(2, "1"), Share(2, "0", 0.5)]),
    ],
)
def test_cores_and_gpus_are_dealt_out(n_workers, n_cores, devices, environment, expected) -> None:
    assert deal_shares(n_workers, n_cores, devices, environment) == expected


def test_a_share_is_set_by_environment_variables() -> None:
    assert Share(2).environment() == {"OMP_NUM_THREADS": "2"}
    assert Share(1, "3", 0.5).environment() == {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "3",
        "SWITCHHEAD_LAB_GPU_SHARE": "0.5",
    }


def test_a_worker_gets_the_options_of_the_first() -> None:
    policy = ChangePolicy(allows_drift=True, reuses=True, retrain=("all",))
    found = worker_arguments("a/b", "pocket", ["training.n_steps=5"], "cpu", policy)
    assert found == [
        *("worker", "a/b", "--size", "pocket", "--set", "training.n_steps=5"),
        *("--device", "cpu", "--allow-drift", "--reuse"),
    ]
    assert worker_command(["worker", "a"])[1:] == ["-m", "switchhead_lab", "worker", "a"]
    assert worker_arguments("a", "s", [], "", STRICT)[-2:] == ["--size", "s"]
    assert worker_arguments("a", "", [], "", STRICT) == ["worker", "a"]


def test_lines_of_workers_carry_their_number_and_failures_are_told() -> None:
    said: list[str] = []
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit(4)"
    with beside([sys.executable, "-c", code], [Share(3), Share(5)], said.append):
        pass
    assert sorted(said) == [
        *("[2] 3", "[2] ended with exit code 4", "[3] 5", "[3] ended with exit code 4"),
    ]


@pytest.mark.parametrize(
    ("is_stopped", "seconds", "last"), [(False, 60.0, "checkpoint"), (True, 0.5, "own end")]
)
def test_workers_are_asked_to_end_when_the_first_is_interrupted(
    monkeypatch, is_stopped: bool, seconds: float, last: str
) -> None:
    """Those that `lab sweep stop` asked get no second signal, which would cut them short."""
    monkeypatch.setattr(interruption, "explanation", "stopped" if is_stopped else "")
    said: list[str] = []
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('checkpoint', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        f"time.sleep({seconds})\n"
        "print('own end')"
    )

    def interrupted() -> None:
        with beside([sys.executable, "-c", code], [Share(1)], said.append):
            while "[2] ready" not in said:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert said == ["[2] ready", f"[2] {last}"]
