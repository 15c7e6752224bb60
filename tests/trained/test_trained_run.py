import math
from pathlib import Path

import pytest
import torch

import switchhead_lab
from switchhead_lab.errors import ConfigError, DataError, RecordError
from switchhead_lab.training.checkpoint_manifest import DamagedCheckpointError
from switchhead_lab.training.scoring import ScoredModel, build_scorer
from switchhead_lab.training.validation import score_split


def test_a_run_is_opened_by_name_hash_and_path(train, workspace, tmp_path, monkeypatch) -> None:
    run = train()
    references = [run.name, run.record.run_hash[:6], f"runs/{run.name}", run.record.directory]
    opened = [switchhead_lab.open_run(reference) for reference in references]
    assert {found.record.directory for found in opened} == {run.record.directory}
    assert all(found.config == run.config for found in opened)
    # By path, from any folder, with the data of its own workspace.
    monkeypatch.chdir(tmp_path)
    found = switchhead_lab.open_run(run.record.directory)
    assert found.dataset().path == workspace.data_dir / "words" / "byte"


def test_unknown_runs_are_rejected(train) -> None:
    train()
    with pytest.raises(RecordError, match='no run "nothing"'):
        switchhead_lab.open_run("nothing")
    with pytest.raises(RecordError, match="not a run directory"):
        switchhead_lab.open_run("./runs/nothing")


def test_metrics_have_one_row_per_step(train) -> None:
    run = train()
    metrics = run.metrics
    assert list(metrics["step"]) == [1, 2, 3, 4, 5, 6]
    assert list(metrics.columns[:3]) == ["step", "tokens", "time"]
    assert list(metrics["tokens"]) == [64 * step for step in metrics["step"]]
    validated = metrics.dropna(subset="validation/loss_nats")
    assert list(validated["step"]) == [3, 6]
    assert validated["validation/loss_nats"].iloc[-1] == run.record.result.validation["loss_nats"]
    assert metrics["train/loss_nats"].notna().all()


@pytest.mark.parametrize("attention", ["dense", "switchhead"])
def test_the_model_has_the_weights_of_a_checkpoint(train, attention: str) -> None:
    run = train(attention)
    model = run.model()
    assert not model.training
    batches = run.dataset().evaluation_batches("validation", 4, 16)
    score = score_split(ScoredModel(model, build_scorer(run.config)), batches, run.setup())
    assert score.totals.mean_loss_nats == run.record.result.validation["loss_nats"]
    earlier = run.model(checkpoint=4).state_dict()
    assert any(not torch.equal(earlier[name], value) for name, value in model.state_dict().items())


def test_unusable_checkpoints_are_rejected(train) -> None:
    run = train()
    with pytest.raises(RecordError, match=r"no checkpoint of step 5; available steps: 4, 6"):
        run.model(checkpoint=5)
    with pytest.raises(ConfigError, match='device "abacus" is not available'):
        run.model("abacus")
    tensors = run.record.directory / "checkpoints" / "step-00000006" / "tensors.safetensors"
    contents = bytearray(tensors.read_bytes())
    contents[-1] ^= 1
    tensors.write_bytes(contents)
    # Falling back to an older checkpoint would return another model.
    with pytest.raises(DamagedCheckpointError, match="step-00000006"):
        run.model()
    assert run.model(checkpoint=4) is not None


def test_weights_that_no_longer_fit_the_code_are_rejected(train, monkeypatch) -> None:
    run = train()
    monkeypatch.setattr("switchhead_lab.trained.run.weights_of", lambda tensors: {})
    with pytest.raises(RecordError, match=r"blocks\.0\..* is in only one of checkpoint and model"):
        run.model()


def test_tokenizer_and_dataset_are_those_of_training(train) -> None:
    run = train()
    tokens = run.dataset().tokens("validation")
    text = run.tokenizer().decode(tokens)
    assert len(text) == len(tokens) - 1
    assert text.splitlines()[-1] in Path("../words.txt").read_text(encoding="utf-8")


def test_changed_data_with_the_same_name_are_rejected(train, workspace, write_corpus) -> None:
    from switchhead_lab.data.token_store import register

    run = train()
    other = write_corpus(workspace.root / "other.txt", n_lines=1400)
    register(workspace.data_dir, other, "words", replace=True)
    with pytest.raises(RecordError, match='trained on different contents of corpus "words"'):
        run.dataset()


def test_a_classifier_has_a_model_and_no_tokenizer(classifier) -> None:
    assert classifier.model().output.out_features == 10
    batch = next(iter(classifier.dataset().evaluation_batches("validation", 4, 14)))
    assert batch.targets.shape == (4,)
    assert not math.isnan(classifier.metrics["validation/accuracy"].iloc[-1])
    with pytest.raises(RecordError, match="generated listops examples"):
        classifier.tokenizer()


def test_missing_data_are_prepared_again_or_reported(train, workspace) -> None:
    import shutil

    run = train()
    shutil.rmtree(workspace.data_dir / "words" / "byte")
    assert run.dataset().digest == run.record.provenance["data_manifest"]["digest"]
    shutil.rmtree(workspace.data_dir / "words")
    with pytest.raises(DataError, match='no corpus "words"'):
        run.tokenizer()
