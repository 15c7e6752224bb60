"""Impossible combinations of objective, data and model are rejected with one clear error."""

from typing import Any

import pytest

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError

TREE: dict[str, Any] = {
    "objective": {"kind": "classification"},
    "data": {"kind": "listops", "max_length": 20, "n_train": 100, "operators": ["MIN", "SM"]},
    "model": {
        "d_model": 16,
        "n_layers": 1,
        "seq_len": 24,
        "context_multiple": 1,
        "direction": "bidirectional",
        "attention": {"kind": "dense", "n_heads": 2, "d_head": 4},
        "feedforward": {"kind": "dense", "d_ff": 8},
    },
    "training": {
        "n_steps": 1,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "clip_norm": 1.0,
        "validate_every": 1,
        "checkpoint_every": 1,
    },
}
TEXT = {"kind": "text", "corpus": "sotu"}


def test_widths_follow_from_data_and_objective() -> None:
    config = parse(RunConfig, TREE, "test")
    assert (config.vocab_size, config.n_outputs) == (14, 10)
    # A classifier may also be causal.
    causal = merge_trees(TREE, {"model": {"direction": "causal"}})
    assert parse(RunConfig, causal, "test").n_outputs == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {"context_multiple": 2}},
            r"model: context_multiple=2 but direction=\"bidirectional\".* use context_multiple=1",
        ),
        (
            {"model": {"context_multiple": 2, "direction": "causal"}},
            r"model.context_multiple=2 but objective.kind=\"classification\" has no memory",
        ),
        ({"data": TEXT}, r"data.kind=\"text\" has no classes; .* such as data.kind=\"listops\""),
        (
            {"objective": {"kind": "language_model"}},
            r"\"listops\" has classes and no text.* use objective.kind=\"classification\"",
        ),
        (
            {"objective": {"kind": "language_model"}, "data": TEXT},
            r"would see the tokens that .* predicts; use model.direction=\"causal\"",
        ),
        (
            {"model": {"seq_len": 16}},
            r"\"listops\" have up to 20 tokens but model.seq_len=16",
        ),
        ({"data": {"operators": ["MIN", "MIN"]}}, "has duplicates"),
        ({"data": {"operators": ["MIN", "AVG"]}}, r"data.operators.1 = 'AVG'"),
        ({"data": {"min_length": 30}}, "min_length=30 but max_length=20"),
        ({"data": {"kind": "images"}}, r"data: kind 'images'; use 'text', 'listops'"),
        ({"data": {"corpus": "sotu"}}, r"unknown key \"data.corpus\""),
    ],
)
def test_impossible_combinations_are_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(RunConfig, merge_trees(TREE, change), "test")


def test_empty_expert_projections_are_rejected() -> None:
    attention = {
        "kind": "switchhead",
        "n_heads": 1,
        "n_experts": 2,
        "top_k": 1,
        "d_head": 4,
        "expert_projections": [],
    }
    with pytest.raises(ConfigError, match=r"expert_projections.* = \[\]: .*at least 1"):
        parse(RunConfig, merge_trees(TREE, {"model": {"attention": attention}}), "test")


def test_fields_at_their_defaults_do_not_change_the_identity(tiny_config) -> None:
    """Runs recorded before these fields existed keep their identities."""
    config = tiny_config()
    assert identity(config)[:16] == "5408fe4e6ccd64d0"
    dump = config.model_dump(mode="json")
    assert "objective" not in dump
    assert "direction" not in dump["model"]
    assert "kind" not in dump["data"]
