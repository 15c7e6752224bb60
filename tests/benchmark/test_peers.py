"""The peer benchmark: peers do the same work as the lab's models, independent of speed."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from switchhead_lab.benchmark.peers import bench as module
from switchhead_lab.benchmark.peers import hugging_face
from switchhead_lab.benchmark.peers.bench import OURS, PlainTrainer, bench_peers
from switchhead_lab.benchmark.peers.contests import Contest, contest_of
from switchhead_lab.benchmark.record import write_peer_bench
from switchhead_lab.benchmark.step import build_training_model, step_runner_of
from switchhead_lab.benchmark.table import peer_table
from switchhead_lab.config.files import parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.errors import ConfigError
from switchhead_lab.sweeping.timed_models import configs_to_time
from switchhead_lab.tracking.bench_record import peer_bench_name
from switchhead_lab.training.compute_setup import ComputeSetup, prepare_setup

SWEEPS = Path(__file__).parents[2] / "sweeps"
DENSE = {"kind": "dense", "d_ff": 32}
SIGMA_MOE = {"kind": "sigma_moe", "n_experts": 4, "top_k": 2, "d_expert": 12}
ROPE, XL = {"kind": "rope", "rotate_fraction": 1.0}, {"kind": "transformer_xl"}


@pytest.fixture
def setup() -> ComputeSetup:
    return prepare_setup("cpu", "fp32")


@pytest.fixture
def config_of(tiny_config):
    """Make a configuration with a feed-forward and positions; RoPE has no memory."""

    def make(positions: dict, feedforward: dict = DENSE, **model: object) -> RunConfig:
        tree = tiny_config(learning_rate=1e-2, n_warmup_steps=0).model_dump(mode="json")
        # The plain optimiser has a constant learning rate.
        tree["training"]["final_lr_fraction"] = 1.0
        multiple = 1 if positions is ROPE else 2
        sizes = {"positions": positions, "feedforward": feedforward, "context_multiple": multiple}
        tree["model"] |= {**sizes, **model}
        return parse(RunConfig, tree, "test")

    return make


@pytest.mark.parametrize(
    ("positions", "name"),
    [(ROPE, "plain PyTorch, SDPA"), (ROPE, "plain PyTorch, manual"), (XL, "plain PyTorch")],
)
def test_plain_models_train_to_the_same_losses(config_of, setup, positions, name) -> None:
    """Same weights, batches, memory, clipping and optimiser: four steps give equal losses."""
    config = config_of(positions)
    contest = contest_of(config)
    assert contest is not None
    model = build_training_model(config)
    plain = contest.peers[name]()
    plain.load_state_dict(model.state_dict())
    ours, theirs = step_runner_of(model, config, setup), PlainTrainer(config, plain, setup)
    losses = [(ours.step(number), theirs.step(number)) for number in range(4)]
    for (our_loss, our_targets), (their_loss, their_targets) in losses:
        assert our_targets == their_targets
        assert our_loss == pytest.approx(their_loss, rel=1e-5)
    assert losses[3][0][0] < losses[0][0][0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_hugging_face_models_have_the_same_shapes(config_of, attention) -> None:
    config = config_of(ROPE)
    contest = contest_of(config)
    assert contest is not None
    model = build_training_model(config)
    theirs = contest.peers[f"GPT-NeoX, {attention}"]()
    assert matrices_of(theirs) == matrices_of(model)
    gpt2 = contest.peers[f"GPT-2, {attention}"]()
    # Query, key and value are one matrix in both; GPT-2 also learns positions.
    positions = (config.model.seq_len, config.model.d_model)
    assert sum(matrices_of(gpt2)) == sum(matrices_of(model)) + positions[0] * positions[1]
    for peer in (theirs, gpt2):
        assert peer.model.config._attn_implementation == attention
        assert peer(torch.zeros(2, 16, dtype=torch.int64)).shape == (2, 16, config.vocab_size)


def matrices_of(model: nn.Module) -> list[int]:
    """Return the sizes of all weight matrices; query, key and value count as one."""
    sizes = [(name, x.numel()) for name, x in model.named_parameters() if x.dim() == 2]
    split = [
        n for name, n in sizes if name.endswith(("query_weight", "key_weight", "value_weight"))
    ]
    others = [
        n for name, n in sizes if not name.endswith(("query_weight", "key_weight", "value_weight"))
    ]
    joined = [sum(split[start : start + 3]) for start in range(0, len(split), 3)]
    return sorted(others + joined)


@pytest.mark.parametrize(("fraction", "n_rotated"), [(0.5, 2), (1.0, 4)])
def test_gpt_neox_rotates_as_many_channels(config_of, fraction, n_rotated) -> None:
    config = config_of({"kind": "rope", "rotate_fraction": fraction}, context_multiple=1)
    theirs = hugging_face.gpt_neox(config.model, config.vocab_size, "sdpa")
    frequencies = theirs.model.gpt_neox.rotary_emb.inv_freq
    assert 2 * len(frequencies) == n_rotated


def test_mixtral_s_experts_have_as_many_parameters(config_of) -> None:
    config = config_of(XL, SIGMA_MOE)
    contest = contest_of(config)
    assert contest is not None
    assert contest.unit == "feed-forward layer"
    ours = build_training_model(config).blocks[0].feedforward
    for build in contest.peers.values():
        theirs = build()
        assert module._n_parameters(theirs) == module._n_parameters(ours)
        x = torch.randn(2, 16, 16)
        assert theirs(x).isfinite().all()


def test_the_loop_and_the_grouped_matmul_of_mixtral_agree(config_of) -> None:
    """Otherwise one of them would be timed doing something else."""
    contest = contest_of(config_of(XL, SIGMA_MOE))
    assert contest is not None
    loop, grouped = (build() for build in contest.peers.values())
    grouped.load_state_dict(loop.state_dict())
    x = torch.randn(2, 16, 16)
    torch.testing.assert_close(loop(x), grouped(x))


@pytest.mark.parametrize(
    "model",
    [
        {"feedforward": {**DENSE, "p_dropout": 0.1}},
        {"attention": {"kind": "grouped_query", "n_heads": 4, "d_head": 4, "n_kv_heads": 2}},
    ],
)
def test_models_that_differ_from_the_peers_have_none(config_of, model) -> None:
    assert contest_of(config_of(XL, **model)) is None


def test_a_causal_classifier_has_none(config_of) -> None:
    tree = config_of(ROPE).model_dump(mode="json")
    tree["objective"] = {"kind": "classification"}
    tree["data"] = {
        "kind": "listops",
        "max_length": 12,
        "max_depth": 3,
        "n_train": 100,
        "operators": ["MIN"],
    }
    assert contest_of(parse(RunConfig, tree, "test")) is None


def test_a_peer_that_does_not_run_is_left_out_with_its_reason(config_of, setup, monkeypatch):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("strides should be\nmultiples")

    contest = Contest("feed-forward layer", {"broken": Broken, "identity": nn.Identity})
    monkeypatch.setattr(module, "contest_of", lambda _config: contest)
    found = bench_peers({"sigma-moe": config_of(ROPE, SIGMA_MOE)}, setup, 1)
    assert [time.implementation for time in found.times] == [OURS, "identity"]
    assert found.remarks == ("sigma-moe: broken: strides should be",)


def test_ratios_are_medians_over_rounds_and_the_page_has_them(
    config_of, setup, tmp_path, monkeypatch
) -> None:
    def times(timed, effort):
        assert effort.fewest == 3
        for call in timed.values():
            call()
        return {name: [1.0, 3.0, 2.0] if name == OURS else [2.0, 4.0, 8.0] for name in timed}

    monkeypatch.setattr(module, "interleave", times)
    configs = {"rope": config_of(ROPE), "moe": config_of(XL, SIGMA_MOE)}
    bench = bench_peers(configs, setup, 3)
    ours, first, *_ = bench.times
    assert (ours.implementation, ours.ms, ours.ours_over_theirs) == (OURS, 2000.0, 1.0)
    assert (first.ms, first.ours_over_theirs) == (4000.0, 0.5)
    assert [time.model for time in bench.times] == ["rope"] * 7 + ["moe"] * 3
    sweep = find_sweep(SWEEPS, "bench/peers").resolve()
    write_peer_bench(tmp_path, sweep, bench, setup, is_partial=False)
    stem = tmp_path / "bench" / peer_bench_name(sweep)
    assert json.loads(stem.with_suffix(".json").read_text())["times"][0]["ms"] == 2000.0
    _, rows = peer_table(bench)
    assert f"| {' | '.join(rows[1])} |" in stem.with_suffix(".md").read_text()


def test_what_is_not_timed_is_said(config_of, tiny_config, setup, monkeypatch) -> None:
    monkeypatch.setattr(hugging_face, "is_installed", lambda: False)
    configs = {"rope": config_of(ROPE), "moe": config_of(XL, SIGMA_MOE)}
    bench = bench_peers(configs, setup, 1)
    assert {time.model for time in bench.times} == {"rope"}
    assert len(bench.remarks) == 2
    assert all("pip install 'switchhead_lab[peers]'" in remark for remark in bench.remarks)
    with pytest.raises(ConfigError, match="nothing to time: sparse: no peer"):
        bench_peers({"sparse": tiny_config("switchhead")}, setup, 1)


def test_micro_batches_are_refused(config_of, setup) -> None:
    tree = config_of(ROPE).model_dump(mode="json")
    tree["training"]["micro_batch_size"] = 2
    with pytest.raises(ConfigError, match="training.micro_batch_size=4"):
        bench_peers({"rope": parse(RunConfig, tree, "test")}, setup, 1)


@pytest.mark.parametrize("size", ["pocket", "47m", "47m-4-heads"])
def test_the_shipped_shapes_have_all_peers(size: str, tmp_path) -> None:
    configs = configs_to_time(find_sweep(SWEEPS, "bench/peers").resolve(size), tmp_path)
    contests = {name: contest_of(config) for name, config in configs.items()}
    assert {name: len(contest.peers) for name, contest in contests.items()} == {
        "dense-rope": 6,
        "sigma-moe": 2,
    }
