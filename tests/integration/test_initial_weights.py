"""Runs that start from the weights of another run."""

import shutil
from typing import Any

import pytest
import torch

from switchhead_lab.config.files import merge_trees, parse, to_toml
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunRecord, list_runs
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.checkpoint import load_latest
from switchhead_lab.training.hooks import Prune
from switchhead_lab.training.initial_weights import resolve_initial_weights
from switchhead_lab.training.layout import weights_of
from switchhead_lab.training.run import execute_run
from switchhead_lab.views.runs import describe_run

# Too small to move a float32 weight.
STANDSTILL = {"n_steps": 1, "n_warmup_steps": 0, "learning_rate": 1e-30, "validate_every": 1}


def train(workspace, config: RunConfig, hooks=()) -> RunRecord:
    labels = RunLabels(size="tiny", variant="model")
    return execute_run(workspace, config, labels, index=NoIndex(), hooks=hooks)


def starting_from(reference: Any, workspace, config: RunConfig, **changes: Any) -> RunConfig:
    """Resolve a configuration as `lab train` does."""
    tree = merge_trees(config.model_dump(mode="json"), {"initial_weights": reference, **changes})
    return parse(RunConfig, resolve_initial_weights(tree, workspace.runs_dir, "test"), "test")


def weights(run: RunRecord) -> dict[str, torch.Tensor]:
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    return weights_of(loaded[1])


def test_training_starts_from_the_last_weights_of_the_source(workspace, tiny_config) -> None:
    source = train(workspace, tiny_config("switchhead"))
    config = starting_from(source.name, workspace, tiny_config("switchhead", **STANDSTILL))
    run = train(workspace, config)
    assert run.run_hash != source.run_hash
    assert run.result.validation["loss_nats"] == source.result.validation["loss_nats"]
    found = weights(run)
    assert all(torch.equal(found[name], value) for name, value in weights(source).items())
    assert run.provenance["initial_weights"] == {
        "source": source.name,
        "step": 6,
        "fresh": [],
        "unused": [],
    }
    assert f"initial weights  {source.name}, step 6" in describe_run(run)


def test_optimiser_and_step_count_start_fresh(workspace, tiny_config) -> None:
    source = train(workspace, tiny_config())
    run = train(workspace, starting_from(source.name, workspace, tiny_config(**STANDSTILL)))
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    progress, tensors = loaded
    assert progress.step == 1
    counts = [tensor for name, tensor in tensors.items() if name.endswith(".step")]
    assert counts
    assert {int(count) for count in counts} == {1}


def test_weights_missing_in_the_source_are_initialised_and_named(
    workspace, tiny_config, capfd
) -> None:
    source = train(workspace, tiny_config())
    deeper = {"model": {"n_layers": 3, "positions": {"kind": "rope"}}}
    config = starting_from(source.name, workspace, tiny_config(seed=3, **STANDSTILL), **deeper)
    run = train(workspace, config)
    recorded = run.provenance["initial_weights"]
    assert "blocks.2.attention.query_weight" in recorded["fresh"]
    assert "blocks.0.attention.positions.content_bias" in recorded["unused"]
    fresh = build_model(config.model, config.vocab_size, 3).state_dict()
    found, theirs = weights(run), weights(source)
    assert set(recorded["fresh"]) == fresh.keys() - theirs.keys()
    assert set(recorded["unused"]) == theirs.keys() - fresh.keys()
    for name, value in found.items():
        expected = fresh[name] if name in recorded["fresh"] else theirs[name]
        assert torch.allclose(value, expected, rtol=0.0, atol=1e-20), name
    described, told = describe_run(run), capfd.readouterr().err
    assert all(name in described for name in (*recorded["fresh"], *recorded["unused"]))
    assert f"starts from the weights of {source.name} after step 6" in told
    assert all(name in told for name in (*recorded["fresh"], *recorded["unused"]))


def test_a_resumed_run_is_bitwise_identical(workspace, tiny_config) -> None:
    class StopAtThree:
        def observe(self, point) -> Prune | None:
            if point.step == 3 and "train/loss_nats" in point.metrics:
                raise KeyboardInterrupt
            return None

    source = train(workspace, tiny_config())
    config = starting_from(source.name, workspace, tiny_config(seed=1))
    whole = train(workspace, config)
    expected = weights(whole)
    whole.directory.rename(whole.directory.parent / ".removed")
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAtThree()])
    continued = train(workspace, config)
    assert continued.status.attempt == 2
    found = weights(continued)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_the_identity_depends_on_the_sources_weights(workspace, tiny_config) -> None:
    config = tiny_config(seed=5)
    assert "initial_weights" not in config.model_dump(mode="json")
    sources = [train(workspace, tiny_config(seed=seed)) for seed in (0, 1)]
    by_name, other = (starting_from(run.name, workspace, config) for run in sources)
    by_hash = starting_from(sources[0].run_hash[:8], workspace, config)
    assert identity(by_name) == identity(by_hash)
    assert len({identity(config), identity(by_name), identity(other)}) == 3
    assert by_name.initial_weights.run == sources[0].run_hash
    # A resolved configuration is not resolved again.
    tree = by_name.model_dump(mode="json")
    assert resolve_initial_weights(tree, workspace.runs_dir, "test") == tree


def test_changed_weights_of_the_source_are_rejected(workspace, tiny_config) -> None:
    source = train(workspace, tiny_config())
    config = starting_from(source.name, workspace, tiny_config(seed=1))
    values = config.model_dump(mode="json")
    values["initial_weights"]["sha256"] = "0" * 64
    with pytest.raises(RecordError, match="retrained with other results"):
        train(workspace, parse(RunConfig, values, "test"))
    shutil.rmtree(source.directory)
    with pytest.raises(RecordError, match=f"no run with hash {source.run_hash[:8]} in"):
        train(workspace, config)
    assert list_runs(workspace.runs_dir) == []


def test_weights_of_another_shape_are_rejected(workspace, tiny_config) -> None:
    source = train(workspace, tiny_config())
    wider = {"model": {**tiny_config().model_dump(mode="json")["model"], "d_model": 32}}
    config = starting_from(source.name, workspace, tiny_config(), **wider)
    with pytest.raises(
        ConfigError,
        match=r"embedding\.weight is float32 \(256, 16\), not float32 \(256, 32\); use equal sizes",
    ):
        train(workspace, config)
    assert len(list_runs(workspace.runs_dir)) == 1


def test_another_tokenizer_is_rejected(workspace, tiny_config) -> None:
    source = train(workspace, tiny_config())
    data = {"corpus": "words", "tokenizer": {"kind": "char", "vocab_size": 256}}
    config = starting_from(source.name, workspace, tiny_config(), data=data)
    with pytest.raises(ConfigError, match=r"has tokenizer byte \(.*\), but this run has char-256"):
        train(workspace, config)
    assert len(list_runs(workspace.runs_dir)) == 1


def test_tokenizers_of_the_same_kind_are_compared_by_contents(
    workspace, tiny_config, tmp_path
) -> None:
    from switchhead_lab.data.token_store import register

    other = tmp_path / "other.txt"
    lines = [f"quite other words {number} here\n" for number in range(2000)]
    other.write_text("".join(lines), encoding="utf-8")
    register(workspace.data_dir, other, "other")
    tokenizer = {"kind": "char", "vocab_size": 64}
    tree = tiny_config().model_dump(mode="json")
    configs = [
        parse(RunConfig, {**tree, "data": {"corpus": corpus, "tokenizer": tokenizer}}, "test")
        for corpus in ("words", "other")
    ]
    source = train(workspace, configs[0])
    with pytest.raises(ConfigError, match="the same token id would mean different text"):
        train(workspace, starting_from(source.name, workspace, configs[1]))
    # Bytes mean the same in every corpus.
    by_bytes = {**tree, "data": {"corpus": "other", "tokenizer": {"kind": "byte"}}}
    source = train(workspace, tiny_config())
    tuned = starting_from(source.name, workspace, parse(RunConfig, by_bytes, "test"))
    assert train(workspace, tuned).result is not None


def test_unresolvable_sources_are_rejected(workspace, tiny_config) -> None:
    config = tiny_config(seed=1)
    with pytest.raises(ConfigError, match=r"test: initial_weights = 'nothing': no run"):
        starting_from("nothing", workspace, config)
    with pytest.raises(ConfigError, match="initial_weights = 12: write the name of a run"):
        starting_from(12, workspace, config)
    workspace.runs_dir.mkdir(exist_ok=True)
    labels = RunLabels(size="tiny", variant="stopped")
    RunDir.open(workspace.runs_dir, tiny_config(), labels, {}, b"").close("failed", 1, "on purpose")
    stopped = list_runs(workspace.runs_dir)[0].name
    with pytest.raises(ConfigError, match=f"{stopped} is failed, so its weights may still change"):
        starting_from(stopped, workspace, config)
    with pytest.raises(ConfigError, match="not resolved to a checkpoint"):
        parse(RunConfig, {**config.model_dump(mode="json"), "initial_weights": stopped}, "test")


def test_the_command_line_accepts_the_name_of_a_run(workspace, tiny_config, monkeypatch) -> None:
    from typer.testing import CliRunner

    from switchhead_lab.cli.app import app

    source = train(workspace, tiny_config())
    monkeypatch.chdir(workspace.root)
    file = workspace.root / "model.toml"
    file.write_text(to_toml(tiny_config(seed=1)), encoding="utf-8")
    command = ["train", "model.toml", "--name", "tuned", "--set"]
    done = CliRunner().invoke(app, [*command, f"initial_weights={source.name}"])
    assert done.exit_code == 0, done.output
    [tuned] = [run for run in list_runs(workspace.runs_dir) if run.labels.variant == "tuned"]
    assert tuned.config.initial_weights.run == source.run_hash
    # Named by hash in the file, it is the same run.
    file.write_text(f'initial_weights = "{source.run_hash[:10]}"\n{file.read_text()}')
    assert CliRunner().invoke(app, command[:-1]).exit_code == 0
    assert len(list_runs(workspace.runs_dir)) == 2
    # Initial weights do not change the budget.
    assert CliRunner().invoke(app, ["budget", "model.toml"]).exit_code == 0
    done = CliRunner().invoke(app, [*command, "initial_weights=nothing"])
    assert isinstance(done.exception, ConfigError)
