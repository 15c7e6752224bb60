"""Training end to end on a small corpus: repeatable, resumable, and fair between variants."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from tiny_runs import train

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data import token_store
from switchhead_lab.data.batches import evaluation_token_batches
from switchhead_lab.data.token_store import prepare
from switchhead_lab.errors import TrainingError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunRecord
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training import loop
from switchhead_lab.training.checkpoint import load_latest
from switchhead_lab.training.checkpoint_writer import CheckpointWriter
from switchhead_lab.training.compute_setup import prepare_setup
from switchhead_lab.training.hooks import Prune
from switchhead_lab.training.next_token import NextToken
from switchhead_lab.training.run import execute_run
from switchhead_lab.training.scoring import ScoredModel, build_scorer
from switchhead_lab.training.validation import score_split


def losses(run: RunRecord) -> list[tuple[int, str, float]]:
    return [
        (point.step, name, value)
        for point in run.metrics()
        for name, value in point.metrics.items()
        if name.endswith("loss_nats")
    ]


def tensors_digest(run: RunRecord) -> str:
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded[1].items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def remove(run: RunRecord) -> None:
    run.directory.rename(run.directory.parent / f".removed-{run.name}-{run.status.attempt}")


class StopAt:
    """Hook that interrupts training like Ctrl-C."""

    def __init__(self, step: int) -> None:
        self.step = step

    def observe(self, point) -> Prune | None:
        if point.step == self.step and "train/loss_nats" in point.metrics:
            raise KeyboardInterrupt
        return None


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_runs_are_bitwise_identical(workspace, tiny_config, attention, precision) -> None:
    config = tiny_config(attention, precision=precision)
    first = train(workspace, config)
    result, digest = losses(first), tensors_digest(first)
    remove(first)
    second = train(workspace, config)
    assert losses(second) == result
    assert tensors_digest(second) == digest
    assert len(result) == 8


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_a_resumed_run_is_bitwise_identical(
    workspace, tiny_config, attention: str, stop: int
) -> None:
    config = tiny_config(attention, micro_batch_size=2)
    whole = train(workspace, config)
    expected, digest = losses(whole), tensors_digest(whole)
    remove(whole)
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAt(stop)])
    continued = train(workspace, config)
    assert continued.status.attempt == 2
    assert losses(continued) == expected
    assert tensors_digest(continued) == digest
    assert continued.result is not None
    assert continued.result.n_tokens == 6 * config.tokens_per_step


def test_a_recorded_loss_covers_its_steps_across_an_interruption(workspace, tiny_config) -> None:
    """The checkpoint is between two recorded points, so it must keep the loss since the first."""
    config = tiny_config(log_every=4, checkpoint_every=3, validate_every=6)
    whole = train(workspace, config)
    expected = losses(whole)
    remove(whole)
    with pytest.raises(KeyboardInterrupt):
        train(workspace, config, [StopAt(4)])
    assert losses(train(workspace, config)) == expected
    assert [step for step, *_ in expected] == [4, 6, 6]


def test_recorded_rates_and_times_are_those_of_the_steps(workspace, tiny_config) -> None:
    config = tiny_config(n_steps=7, n_warmup_steps=2, final_lr_fraction=0.5)
    run = train(workspace, config)
    points = [point.metrics for point in run.metrics() if "train/loss_nats" in point.metrics]
    rates = [metrics["train/learning_rate"] for metrics in points]
    cosines = [0.5 * (1 + math.cos(math.pi * done / 5)) for done in range(5)]
    expected = [0.5, 1.0, *(0.5 + 0.5 * cosine for cosine in cosines)]
    assert rates == pytest.approx([3e-3 * fraction for fraction in expected])
    assert run.result is not None
    times = [metrics["train/ms_per_step"] for metrics in points]
    assert run.result.ms_per_step == sorted(times)[3]
    per_second = 1e3 * config.tokens_per_step / run.result.ms_per_step
    assert run.result.tokens_per_second == pytest.approx(per_second)


def test_points_are_on_disk_before_a_checkpoint_of_them(
    workspace, tiny_config, monkeypatch
) -> None:
    """After a power cut, points that a checkpoint is newer than could not be repeated."""
    done: list[str] = []
    for owner, name in ((RunDir, "sync_metrics"), (CheckpointWriter, "save")):
        original = getattr(owner, name)

        def recorded(self, *arguments, original=original, name=name):
            done.append(name)
            return original(self, *arguments)

        monkeypatch.setattr(owner, name, recorded)
    train(workspace, tiny_config())
    assert done == ["sync_metrics", "save"] * 3


def test_training_learns_the_pattern_of_the_corpus(workspace, tiny_config) -> None:
    config = tiny_config("switchhead", n_steps=150, validate_every=150, checkpoint_every=150)
    run = train(workspace, config)
    assert run.result is not None
    unigram = run.provenance["data_manifest"]["unigram_perplexity"]["validation"]
    assert run.result.validation["perplexity"] < 0.5 * unigram


def test_micro_batches_are_equivalent_to_the_whole_batch(workspace, tiny_config) -> None:
    tree = tiny_config().model_dump(mode="json")
    tree["model"]["feedforward"]["p_dropout"] = 0.0
    whole = RunConfig.model_validate(tree)
    tree["training"]["micro_batch_size"] = 1
    parts = RunConfig.model_validate(tree)
    for a, b in zip(losses(train(workspace, whole)), losses(train(workspace, parts)), strict=True):
        assert a[:2] == b[:2]
        assert a[2] == pytest.approx(b[2], rel=1e-5)


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
def test_activation_checkpointing_is_bitwise_identical(workspace, tiny_config, attention) -> None:
    kept = train(workspace, tiny_config(attention))
    again = train(workspace, tiny_config(attention, checkpoint_activations=True))
    assert again.directory != kept.directory
    assert losses(again) == losses(kept)
    assert tensors_digest(again) == tensors_digest(kept)


def test_variants_see_the_same_batches_in_the_same_order(
    workspace, tiny_config, monkeypatch
) -> None:
    seen: list[bytes] = []

    class Recording(token_store.TokenBatches):
        def at(self, step: int):
            batch = super().at(step)
            seen.append(batch.inputs_BT.tobytes() + batch.targets.tobytes())
            return batch

    monkeypatch.setattr(token_store, "TokenBatches", Recording)
    by_variant = {}
    for attention in ("dense", "switchhead"):
        seen.clear()
        train(workspace, tiny_config(attention, seed=3))
        by_variant[attention] = list(seen)
    assert by_variant["dense"] == by_variant["switchhead"]
    assert len(set(by_variant["dense"])) == 6


def test_a_finished_run_is_not_trained_again(workspace, tiny_config, monkeypatch) -> None:
    config = tiny_config()
    first = train(workspace, config)
    monkeypatch.setattr(loop.Trainer, "train", lambda self: pytest.fail("trained again"))
    again = execute_run(workspace, config, RunLabels(size="other", variant="name"), index=NoIndex())
    assert again.directory == first.directory


def test_the_result_has_the_scores_of_the_last_weights(workspace, tiny_config) -> None:
    config = tiny_config("switchhead")
    run = train(workspace, config)
    model = build_model(config.model, config.vocab_size, 0)
    loaded = load_latest(run.directory / "checkpoints")
    assert loaded is not None
    weights = {n[6:]: t for n, t in loaded[1].items() if n.startswith("model.")}
    model.load_state_dict(weights)
    store = prepare(workspace.data_dir, config.data)
    setup = prepare_setup("cpu", "fp32")
    for split in ("validation", "test"):
        tokens = store.tokens(split)
        batches = store.evaluation_batches(split, config.training.batch_size, config.model.seq_len)
        score = score_split(ScoredModel(model, build_scorer(config)), batches, setup)
        assert score.totals.n_targets == len(tokens) - 1
        assert run.result is not None
        result = run.result.model_dump()
        assert result[f"{split}_loss_nats"] == score.totals.mean_loss_nats
        assert result[f"{split}_perplexity"] == math.exp(score.totals.mean_loss_nats)
        bits = score.totals.mean_loss_nats * score.totals.n_targets / math.log(2)
        n_bytes = store.manifest.splits[split].n_bytes
        assert result[f"{split}_bits_per_byte"] == pytest.approx(bits / n_bytes)


def test_the_test_split_is_scored_once_after_training(workspace, tiny_config, monkeypatch) -> None:
    scored: list[tuple[str, int]] = []
    original = loop.Trainer.score

    def score(trainer, split):
        scored.append((split, trainer.progress.step))
        return original(trainer, split)

    monkeypatch.setattr(loop.Trainer, "score", score)
    train(workspace, tiny_config())
    assert scored == [("validation", 3), ("validation", 6), ("test", 6)]


def test_a_result_is_written_after_the_last_checkpoint_and_point(
    workspace, tiny_config, monkeypatch
) -> None:
    """A run with a result counts as finished, so nothing may be missing then."""
    original, found = RunDir.finish, []

    def finish(run_dir, *arguments):
        assert not (run_dir.path / "result.json").exists()
        last = [point.step for point in run_dir.metrics()][-1]
        found.append((last, load_latest(run_dir.checkpoints_dir)[0].step))
        original(run_dir, *arguments)

    monkeypatch.setattr(RunDir, "finish", finish)
    assert train(workspace, tiny_config()).result is not None
    assert found == [(6, 6)]


def test_validation_counts_every_token_once_and_carries_memory(workspace, tiny_config) -> None:
    """Scores one row over the whole split by hand, chunk by chunk."""
    tree = tiny_config().model_dump(mode="json")
    tree["training"]["batch_size"] = tree["training"]["micro_batch_size"] = 1
    config = RunConfig.model_validate(tree)
    tokens = np.random.default_rng(0).integers(1, 255, 100).astype(np.uint16)
    model = build_model(config.model, 256, 0).eval()
    memory, by_hand = (), 0.0
    with torch.no_grad():
        for start in range(0, 99, 16):
            piece = torch.from_numpy(tokens[start : start + 17].astype(np.int64))[None]
            output = model(piece[:, :-1], memory)
            memory = output.memory
            log_p = output.logits_BTV.log_softmax(-1)
            by_hand -= float(log_p.gather(-1, piece[:, 1:, None]).sum())
    batches = evaluation_token_batches(tokens, 1, 16)
    score = score_split(
        ScoredModel(model, build_scorer(config)), batches, prepare_setup("cpu", "fp32")
    )
    assert score.totals.n_targets == 99
    assert score.totals.mean_loss_nats == pytest.approx(by_hand / 99, rel=1e-6)


def test_a_non_finite_loss_ends_the_run_before_the_step(workspace, tiny_config) -> None:
    config = tiny_config(learning_rate=1e30, n_warmup_steps=0, clip_norm=1e30)
    with pytest.raises(TrainingError, match=r"is (nan|inf) at step \d; the step was skipped"):
        train(workspace, config)
    run = read_only_run(workspace)
    assert run.status.state == "failed"
    assert "learning_rate below" in run.status.reason
    assert run.result is None


def test_expert_use_is_logged_and_recorded(workspace, tiny_config) -> None:
    run = train(workspace, tiny_config("switchhead"))
    last = list(run.metrics())[-1].metrics
    assert 0.0 <= last["router/attention.value_router/use_entropy"] <= 1.0
    use = json.loads((run.directory / "router_use.json").read_text(encoding="utf-8"))
    store = prepare(workspace.data_dir, run.config.data)
    n_targets = len(store.tokens("validation")) - 1
    counts = use["counts"]["blocks.0.attention.output_router"]
    # Two heads choose two experts each at every position, padding of the last row included.
    assert all(sum(head) >= 2 * n_targets for head in counts)
    assert set(use["value_and_output_together"]) == {"blocks.0.attention", "blocks.1.attention"}
    assert not (train(workspace, tiny_config()).directory / "router_use.json").exists()


def test_a_pruned_run_has_no_result(workspace, tiny_config) -> None:
    class PruneAtFirstValidation:
        def observe(self, point) -> Prune | None:
            return Prune("too bad") if "validation/loss_nats" in point.metrics else None

    run = train(workspace, tiny_config(), [PruneAtFirstValidation()])
    assert (run.status.state, run.status.step, run.status.reason) == ("pruned", 3, "too bad")
    assert run.result is None


def test_memory_is_dropped_where_a_stream_starts(workspace, tiny_config, monkeypatch) -> None:
    """Two epochs: memory is empty only at the start of each."""
    seen: list[bool] = []
    original = NextToken.score

    def score(self, model, inputs, targets, memory):
        if model.training:
            seen.append(bool(memory))
        return original(self, model, inputs, targets, memory)

    monkeypatch.setattr(NextToken, "score", score)
    config = tiny_config(batch_size=64)
    store = prepare(workspace.data_dir, config.data)
    per_epoch = (len(store.tokens("train")) - 1) // config.tokens_per_step
    n_steps = 2 * per_epoch
    train(workspace, tiny_config(batch_size=64, n_steps=n_steps, validate_every=n_steps))
    assert [step for step, has_memory in enumerate(seen) if not has_memory] == [0, per_epoch]


def test_auxiliary_losses_are_optimised(workspace, tiny_config) -> None:
    digests = set()
    for coefficient in (0.0, 1.0):
        tree = tiny_config("switchhead", micro_batch_size=2).model_dump(mode="json")
        tree["model"]["feedforward"] = {
            "kind": "sigma_moe",
            "n_experts": 4,
            "d_expert": 8,
            "top_k": 1,
            "entropy_coefficient": coefficient,
        }
        digests.add(tensors_digest(train(workspace, RunConfig.model_validate(tree))))
    assert len(digests) == 2


def read_only_run(workspace) -> RunRecord:
    from switchhead_lab.tracking.record import list_runs

    runs = list(list_runs(workspace.runs_dir))
    assert len(runs) == 1
    return runs[0]
