"""Unusable data end a run before its first step, with one clear error."""

import pytest
from tiny_runs import train

from switchhead_lab.data.token_store import prepare, register
from switchhead_lab.errors import DataError, RecordError


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "test.bin", "tokenizer.json"])
def test_a_damaged_data_file_is_named_before_the_first_step(
    workspace, tiny_config, name: str
) -> None:
    config = tiny_config()
    path = prepare(workspace.data_dir, config.data).path / name
    contents = bytearray(path.read_bytes())
    contents[10] ^= 1
    path.write_bytes(contents)
    with pytest.raises(DataError, match=rf"{name}: SHA-256 is .*, but manifest.json records"):
        train(workspace, config)
    assert not list(workspace.runs_dir.glob("*/metrics.jsonl"))


@pytest.mark.parametrize("damage", ["cut", "missing", "no manifest"])
def test_incomplete_data_are_prepared_again_or_their_source_is_named(
    workspace, tiny_config, tmp_path, damage: str
) -> None:
    config = tiny_config()
    store = prepare(workspace.data_dir, config.data)
    path = store.path / ("manifest.json" if damage == "no manifest" else "validation.bin")

    def harm() -> None:
        contents = path.read_bytes()
        path.unlink()
        if damage == "cut":
            path.write_bytes(contents[:-2])

    harm()
    assert train(workspace, config).provenance["data_manifest"]["digest"] == store.digest
    harm()
    (tmp_path / "words.txt").write_text("Another text.\n" * 500, encoding="utf-8")
    with pytest.raises(DataError, match=r"words\.txt has changed"):
        train(workspace, tiny_config(seed=1))
    assert len(list(workspace.runs_dir.glob("*/metrics.jsonl"))) == 1


def test_a_split_smaller_than_a_batch_is_rejected_before_the_run_starts(
    workspace, tiny_config
) -> None:
    with pytest.raises(DataError, match=r"train\.bin: the training split has .* tokens, but one b"):
        train(workspace, tiny_config(batch_size=10_000))
    assert not list(workspace.runs_dir.glob("*/config.toml"))


def test_a_changed_corpus_is_rejected(workspace, tiny_config, write_corpus, tmp_path) -> None:
    config = tiny_config()
    train(workspace, config)
    other = write_corpus(tmp_path / "other.txt", n_lines=1200)
    register(workspace.data_dir, other, "words", replace=True)
    with pytest.raises(RecordError, match='trained on different contents of corpus "words"'):
        train(workspace, config)
