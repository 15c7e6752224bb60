"""The neighbour benchmark with simulated processes: which times it takes, and what follows."""

from collections.abc import Callable, Mapping
from typing import Self

import pytest

from switchhead_lab.benchmark import neighbour as module
from switchhead_lab.benchmark.neighbour import NeighbourTime, bench_neighbour
from switchhead_lab.benchmark.table import neighbour_table
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import TrainingError

# Seconds of a step alone, and how many times that beside the neighbour.
STEP = {"dense": 2.0, "sparse": 1.0}
SLOWER_ALONE = {"lab": 1.25, "default": 1.0, "GOMP_SPINCOUNT=5": 1.5}
SLOWER_BESIDE = {"lab": 2.0, "default": 16.0, "GOMP_SPINCOUNT=5": 4.0}


class Machine:
    """Processes that report times which depend on their setting and on the neighbour."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.neighbour_works = False
        self.asked: list[tuple[str, str, bool, float]] = []

    def child(self, role: str, variables: Mapping[str, str], *, is_untouched: bool) -> "Child":
        if role == "occupy_cores":
            assert is_untouched
            return Child(self, role)
        setting = ",".join(f"{key}={value}" for key, value in variables.items())
        return Child(self, setting or ("default" if is_untouched else "lab"))


class Child:
    """A simulated child process."""

    def __init__(self, machine: Machine, name: str) -> None:
        self._machine, self._name = machine, name

    def ask(self, request) -> object:
        machine = self._machine
        if request in ("on", "off"):
            assert machine.neighbour_works == (request == "off")
            machine.neighbour_works = request == "on"
            return None
        if "configs" in request:
            return {"n_threads": 2, "precision": "fp32", "wait_settings": {"in": self._name}}
        turn = (request["model"], self._name, machine.neighbour_works)
        machine.asked.append((*turn, request["seconds"]))
        factors = SLOWER_BESIDE if machine.neighbour_works else SLOWER_ALONE
        # Each round is as much slower as the machine then is.
        n_before = [one[:3] for one in machine.asked].count(turn) - 1
        return (n_before + 1) * STEP[request["model"]] * factors[self._name]

    def __enter__(self) -> "Child":
        self._machine.running.append(self._name)
        return self

    def __exit__(self, *_: object) -> None:
        self._machine.running.remove(self._name)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(module, "_Child", machine.child)
    return machine


@pytest.fixture
def configs(tiny_config: Callable[..., RunConfig]) -> dict[str, RunConfig]:
    return {"dense": tiny_config("dense"), "sparse": tiny_config("switchhead")}


def test_medians_and_ratios_follow_from_the_times_of_each_turn(machine, configs) -> None:
    settings = {"GOMP_SPINCOUNT=5": {"GOMP_SPINCOUNT": "5"}}
    bench = bench_neighbour(configs, settings, 3, 0.5)
    assert [(time.model, time.setting) for time in bench.times] == [
        (model, setting) for model in STEP for setting in SLOWER_ALONE
    ]
    assert bench.times[0] == NeighbourTime(
        model="dense",
        setting="lab",
        alone_ms=2 * 2500.0,
        beside_ms=2 * 4000.0,
        beside_over_alone=2.0 / 1.25,
        alone_over_default=1.25,
        beside_over_default=2.0 / 16.0,
        alone_rounds_ms=(2500.0, 5000.0, 7500.0),
        beside_rounds_ms=(4000.0, 8000.0, 12000.0),
    )
    default = bench.times[4]
    assert (default.alone_over_default, default.beside_over_default) == (1.0, 1.0)
    assert default.beside_over_alone == 16.0
    assert bench.settings == {name: {"in": name} for name in SLOWER_ALONE}
    assert (bench.n_threads, bench.precision, bench.n_rounds) == (2, "fp32", 3)
    headings, rows = neighbour_table(bench)
    assert len(headings) == len(rows[0])
    cells = ["dense", "lab", "5000.0", "3750.0-6250.0", "8000.0", "6000.0-10000.0"]
    assert rows[0] == [*cells, "1.60", "1.250", "0.125"]


def test_a_ratio_compares_times_of_the_same_round() -> None:
    """The ratio of medians would compare a slow round with a fast one."""
    assert module._median_ratio([3.0, 2.0, 10.0], [1.0, 2.0, 4.0]) == 2.5


def test_each_turn_is_taken_once_a_round_and_all_processes_end(machine, configs) -> None:
    bench_neighbour(configs, {}, 2, 0.25)
    n_turns = 2 * 2 * 2
    for number in range(2):
        taken = machine.asked[number * n_turns : (number + 1) * n_turns]
        assert len({turn[:3] for turn in taken}) == n_turns
    assert {turn[3] for turn in machine.asked} == {0.25}
    assert machine.running == []


def test_a_process_that_ends_is_one_error_and_none_is_left(configs, monkeypatch) -> None:
    children: list[module._Child] = []

    class Recorded(module._Child):
        def __enter__(self) -> Self:
            children.append(self)
            return self

    sleep_or_exit = "import time; time.sleep(60) if '{0}' == 'occupy_cores' else exit(5)"
    monkeypatch.setattr(module, "_PROCESS", sleep_or_exit)
    monkeypatch.setattr(module, "_UNTOUCHED", "")
    monkeypatch.setattr(module, "_Child", Recorded)
    with pytest.raises(TrainingError, match="a process of the benchmark ended with exit code 5"):
        bench_neighbour(configs, {}, 1, 0.0)
    assert len(children) == 3
    assert None not in [child._process.poll() for child in children]
