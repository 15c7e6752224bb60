"""The bench of expert matmuls: correct backends are timed, wrong and missing ones reported."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from switchhead_kernels.bench import Effort, Plan, Shape, interleave, run_bench, stopwatch, timing
from switchhead_kernels.bench.candidates import all_matmuls, grouped_mm

CPU = torch.device("cpu")
PLAN = Plan(
    shapes=(Shape(16, 8),),
    top_ks=(2,),
    dtypes=("fp32",),
    n_tokens=24,
    effort=Effort.exactly(2),
)


def candidates_of(matmuls=None, plan: Plan = PLAN) -> dict[str, dict[str, object]]:
    result = run_bench(plan, CPU, matmuls=matmuls)
    assert result.peak_gflops["fp32"] > 0
    return {
        problem.problem.projection: {c.name: c for c in problem.candidates}
        for problem in result.problems
    }


def test_every_backend_is_timed_or_has_a_reason() -> None:
    by_projection = candidates_of()
    assert set(by_projection) == {"value", "output", "up", "down"}
    for candidates in by_projection.values():
        assert {"linear", "dense", "sorted", "cpu", "triton"} <= set(candidates)
        for name in ("dense", "sorted", "cpu"):
            assert candidates[name].status == "timed"
            assert candidates[name].error < 1e-5
            assert candidates[name].forward.n_rounds == 2
        assert candidates["linear"].forward.relative_time == 1.0
        assert candidates["triton"].status == "unavailable"
        assert candidates["triton"].reason


def test_a_backend_that_is_wrong_is_not_timed() -> None:
    right = all_matmuls()["dense"]

    def wrong(problem, inputs):
        return right(problem, inputs) * 1.001

    candidate = candidates_of({"dense": right, "wrong": wrong})["value"]["wrong"]
    assert candidate.status == "wrong"
    assert "relative error 1." in candidate.reason
    assert candidate.forward is None


def test_a_backend_with_a_wrong_gradient_is_not_timed() -> None:
    right = all_matmuls()["dense"]

    def wrong(problem, inputs):
        """Return the right output, but no gradient of x."""
        return right(problem, replace(inputs, x=inputs.x.detach())) + 0.0 * inputs.x.sum()

    for candidates in candidates_of({"wrong": wrong}).values():
        assert candidates["wrong"].status == "wrong"


def test_the_definition_is_checked_and_timed_on_request() -> None:
    reference = {"reference": all_matmuls()["reference"]}
    skipped = candidates_of(reference)["value"]["reference"]
    assert (skipped.status, skipped.forward) == ("untimed", None)
    assert "definition" in skipped.reason
    assert skipped.error < 1e-5
    asked = candidates_of(reference, replace(PLAN, times_reference=True))
    assert asked["value"]["reference"].forward.n_rounds == 2


def test_grouped_mm_computes_every_projection() -> None:
    for candidates in candidates_of({"grouped_mm": grouped_mm}).values():
        assert candidates["grouped_mm"].status == "timed"


def test_a_missing_library_is_reported() -> None:
    def missing(problem, inputs):
        raise ModuleNotFoundError("No module named 'scattermoe'")

    candidate = candidates_of({"scattermoe": missing})["down"]["scattermoe"]
    assert (candidate.status, candidate.reason) == ("unavailable", "No module named 'scattermoe'")


def test_times_come_from_the_clock() -> None:
    ticks = iter([1.0, 3.5, 10.0, 10.25])
    timed = stopwatch(lambda: None, CPU, clock=lambda: next(ticks))
    assert interleave({"a": timed}, Effort.exactly(2)) == {"a": [2.5, 0.25]}


def test_slow_candidates_stop_after_the_fewest_rounds() -> None:
    effort = Effort(fewest=2, most=6, seconds=1.0)
    seconds = interleave({"slow": lambda: 5.0, "fast": lambda: 0.01}, effort)
    assert (len(seconds["slow"]), len(seconds["fast"])) == (2, 6)


def test_candidates_take_turns() -> None:
    calls: list[str] = []

    def timed(name: str):
        def run() -> float:
            calls.append(name)
            return 1.0

        return run

    seconds = interleave({name: timed(name) for name in "abc"}, Effort.exactly(3))
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert sorted(calls[:3]) == sorted(calls[3:6]) == list("abc")
    assert [calls[0], calls[3], calls[6]] == list("abc")  # no candidate is always first


def test_gflops_count_the_chosen_experts() -> None:
    result = run_bench(PLAN, CPU).problems[0]
    assert result.macs == 24 * 2 * 2 * 16 * 8
    for candidate in result.candidates:
        if candidate.forward is not None:
            expected = 2e-6 * result.macs / candidate.forward.median_ms
            assert candidate.forward.gflops == pytest.approx(expected)


def test_a_captured_call_outlives_its_replays() -> None:
    """A graph reads its inputs by address without owning them."""

    def call(x: torch.Tensor = torch.ones(1)) -> torch.Tensor:  # noqa: B008
        return x + 1

    inputs = weakref.ref(call.__defaults__[0])
    timed = timing._graph_stopwatch(None, call)
    del call
    gc.collect()
    assert inputs() is not None
    del timed
    assert inputs() is None
