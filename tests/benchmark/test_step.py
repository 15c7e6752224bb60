"""The step benchmark: counts and comparisons, independent of this machine's speed."""

import json
from pathlib import Path

import pytest
import torch

from switchhead_kernels.expert_matmul import op
from switchhead_lab.benchmark import step as module
from switchhead_lab.benchmark.record import write_step_bench
from switchhead_lab.benchmark.step import RandomBatches, bench_steps
from switchhead_lab.benchmark.table import step_table
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.model.executed import executed_attention, executed_feedforward
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.fixture
def setup() -> ComputeSetup:
    return prepare_setup("cpu", "fp32")


@pytest.fixture
def fixed_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything once, but report 2 s for the first model and 1 s for the others."""

    def times(timed, effort):
        for call in timed.values():
            call()
        return {name: [2.0 if number == 0 else 1.0] * 3 for number, name in enumerate(timed)}

    monkeypatch.setattr(module, "interleave", times)
    monkeypatch.setattr(module, "matmul_peak", lambda dtype, device: 0.001)


def test_ratios_and_bounds_follow_from_times_and_counts(tiny_config, setup, fixed_times) -> None:
    configs = {"dense": tiny_config("dense"), "sparse": tiny_config("switchhead")}
    dense, sparse = bench_steps(configs, setup, 3).steps
    assert (dense.relative_time, sparse.relative_time) == (1.0, 0.5)
    assert sparse.tokens_per_second == configs["sparse"].tokens_per_step
    for name, step in (("dense", dense), ("sparse", sparse)):
        config = configs[name]
        model = config.model
        # The sequences of a batch share the projections of distances.
        attention, each = executed_attention(model, 4).macs, executed_attention(model).macs
        distances = (2 * 16 + 1) * model.d_model * model.attention.n_heads * model.attention.d_head
        assert attention == 4 * each - 3 * distances
        macs = 2 * (attention + 4 * executed_feedforward(model).macs) + 4 * 16 * 16 * 256
        assert step.gflop == pytest.approx(6 * macs / 1e9)
        assert step.bound_ms == pytest.approx(1e3 * step.gflop / 0.001)
        assert step.times_bound == pytest.approx(step.ms / step.bound_ms)
    assert dense.routing_fraction == 0.0
    assert sparse.routing_fraction > 0.0
    assert sparse.relative_saved_floats == sparse.saved_floats / dense.saved_floats
    assert dense.peak_memory_bytes is None


def test_saved_floats_grow_with_the_batch(tiny_config, setup, fixed_times) -> None:
    configs = {
        "four": tiny_config(batch_size=4, checkpoint_activations=False),
        "eight": tiny_config(batch_size=8),
        "again": tiny_config(batch_size=8, checkpoint_activations=True),
    }
    four, eight, again = (step.saved_floats for step in bench_steps(configs, setup, 1).steps)
    assert 1.5 * four < eight < 2.5 * four
    assert again < eight / 2


def test_saved_floats_are_those_with_full_memory(tiny_config, setup, fixed_times) -> None:
    """Attention maps grow with the context."""
    configs = {}
    for context_multiple in (1, 2, 3):
        config = tiny_config()
        model = config.model.model_copy(update={"context_multiple": context_multiple})
        configs[f"c{context_multiple}"] = config.model_copy(update={"model": model})
    one, two, three = (step.saved_floats for step in bench_steps(configs, setup, 1).steps)
    assert two > 1.2 * one
    assert three > 1.1 * two


def test_saved_floats_are_those_of_one_micro_batch(tiny_config, setup, fixed_times) -> None:
    configs = {
        "whole": tiny_config(batch_size=8),
        "parts": tiny_config(batch_size=8, micro_batch_size=2),
    }
    whole, parts = (step.saved_floats for step in bench_steps(configs, setup, 1).steps)
    assert 0.2 * whole < parts < 0.5 * whole


@pytest.mark.parametrize(
    ("backend", "bookkeeping"),
    [("reference", set()), ("sorted", {"group_NHK", "order_S", "offset_G1"})],
)
def test_routing_includes_the_backends_bookkeeping(
    tiny_config, setup, fixed_times, monkeypatch, backend, bookkeeping
) -> None:
    done: list[set[str]] = []
    original = module._routing_call

    def spy(router, x, names):
        """Run the timed call once and record which parts of the routing it computed."""
        choices = []
        hook = router.register_forward_hook(lambda *arguments: choices.append(arguments[-1]))
        call = original(router, x, names)
        call()
        hook.remove()
        done.append(set(choices[0].routing.made))
        return call

    monkeypatch.setattr(op, "choose_backend", lambda *_: backend)
    monkeypatch.setattr(module, "_routing_call", spy)
    bench_steps({"sparse": tiny_config("switchhead")}, setup, 1)
    # Two layers, two routers in each attention.
    assert done == [bookkeeping] * 4


def test_batches_continue_each_other_and_fit_the_model(tiny_config) -> None:
    config = tiny_config()
    batches = RandomBatches(config)
    first, second = batches.at(0), batches.at(1)
    assert (first.starts_stream, second.starts_stream) == (True, False)
    assert first.inputs_BT.shape == first.targets.shape == (4, 16)
    assert 0 < first.inputs_BT.min() <= first.inputs_BT.max() < config.vocab_size


def test_written_results_name_the_machine(tiny_config, setup, fixed_times, tmp_path) -> None:
    bench = bench_steps({"dense": tiny_config()}, setup, 3)
    sweep = find_sweep(SWEEPS, "smoke/matched-params").resolve()
    write_step_bench(tmp_path, sweep, bench, setup, is_partial=False)
    stem = tmp_path / f"bench/step-{sweep_id(sweep)}"
    data = json.loads(stem.with_suffix(".json").read_text())
    assert data["sweep_id"] == sweep_id(sweep)
    assert data["compiler"]
    assert data["device"] == setup.description
    assert data["provenance"]["versions"]["torch"] == torch.__version__
    assert data["steps"][0]["ms"] == 2000.0
    page = stem.with_suffix(".md").read_text()
    assert f"PyTorch {torch.__version__}, {data['compiler']}" in page
    headings, rows = step_table(bench)
    assert f"| {' | '.join(rows[0])} |" in page
    assert len(headings) == len(rows[0])
