import json
from pathlib import Path

import numpy as np
import pytest

from switchhead_lab.config.data import (
    ByteTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    TextData,
)
from switchhead_lab.data import documents
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.data.documents import Document
from switchhead_lab.data.encoding import EncodedSplit
from switchhead_lab.data.split_checks import CopyFinder, describe_splits
from switchhead_lab.data.token_store import prepare, register
from switchhead_lab.errors import DataError

BYTES = TextData(corpus="mine", tokenizer=ByteTokenizer())
TOKENIZERS = [ByteTokenizer(), CharTokenizer(vocab_size=9), SentencePieceTokenizer(vocab_size=300)]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.kind)
@pytest.mark.parametrize("text", ["", " \n"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_text_is_rejected_on_preparation(
    write_shards, data_dir: Path, tmp_path: Path, split: str, text: str, tokenizer
):
    texts = {"train": ["a b c"] * 9, "validation": ["b"], "test": ["c"]} | {split: [text] * 4}
    register(data_dir, write_shards(tmp_path / "mine", **texts), "mine")
    with pytest.raises(
        DataError,
        match=rf'^corpus "mine": .*/mine/{split}-00000-of-00001\.json\.gz: the {split} split holds '
        "4 documents without text, but needs at least one document with text; give it some",
    ):
        prepare(data_dir, TextData(corpus="mine", tokenizer=tokenizer))
    assert {path.name for path in (data_dir / "mine").iterdir()} == {"corpus.json", ".lock"}


def test_a_limit_that_leaves_no_target_is_rejected(data_dir: Path, text_file: Path):
    register(data_dir, text_file, "mine")
    with pytest.raises(DataError, match=r"train split has 1 tokens .*raise max_train_tokens=1, or"):
        prepare(data_dir, BYTES.model_copy(update={"max_train_tokens": 1}))


def test_unusable_tokens_of_earlier_versions_are_rejected_when_opened(
    data_dir: Path, text_file: Path
):
    register(data_dir, text_file, "mine")
    path = prepare(data_dir, BYTES).path
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest["splits"]["validation"].update(n_bytes=0, n_tokens=4, n_documents=4)
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (path / "validation.bin").write_bytes(bytes(8))
    with pytest.raises(
        DataError,
        match=r'"mine": .*/byte/validation\.bin: the validation split has 4 tokens of 0 bytes of '
        r"text, but needs at least 2 tokens and 1 byte; give it more text and run .* --replace`",
    ):
        open_dataset(data_dir, BYTES)


def test_the_error_for_a_train_split_below_one_batch_names_its_file(
    data_dir: Path, text_file: Path
):
    register(data_dir, text_file, "mine")
    store = prepare(data_dir, BYTES.model_copy(update={"max_train_tokens": 100}))
    with pytest.raises(DataError, match=r"/train\.bin: the training split has 100 tokens, but one"):
        store.training_batches(batch_size=8, seq_len=16, seed=0)


def encoded(*counts: int) -> EncodedSplit:
    return EncodedSplit(np.array(counts), n_documents=1, n_bytes=1)


def test_unusual_splits_give_warnings():
    fine = {"train": encoded(0, 40_000), "validation": encoded(9, 2000), "test": encoded(0, 2000)}
    assert describe_splits(fine, unknown=0) == []
    [line] = describe_splits(fine | {"validation": encoded(0, 20_001)}, unknown=0)
    assert line.startswith("the validation split has 20,001 tokens but train only 40,000; give")
    [line] = describe_splits(fine | {"test": encoded(0, 999)}, unknown=0)
    assert line.startswith("the test split has only 999 tokens, too few")
    unknown = fine | {"validation": encoded(100, 1900)}
    [line] = describe_splits(unknown, unknown=0)
    assert line.startswith("5.0% of the validation split are unknown characters")
    assert describe_splits(unknown, unknown=None) == []


def test_a_folder_of_three_texts_gives_a_warning(data_dir: Path, tmp_path: Path, capsys):
    folder = tmp_path / "three"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(f"text {name}\n" * 300, encoding="utf-8")
    register(data_dir, folder, "mine")
    prepare(data_dir, BYTES)
    assert 'warning: corpus "mine": the validation split has 2,101 tokens but train only' in (
        capsys.readouterr().err
    )


def test_training_documents_that_are_also_held_out_give_a_warning(
    write_shards, data_dir: Path, tmp_path: Path, capsys
):
    folder = write_shards(tmp_path, train=["a b", "c", " ", "d "], validation=["d"], test=["c", ""])
    register(data_dir, folder, "mine")
    store = prepare(data_dir, BYTES)
    [warning] = [line for line in store.manifest.warnings if line.startswith("in train")]
    shard = "train-00000-of-00001.json.gz"
    assert f"holds the same text: {shard}:2, {shard}:4; memorising" in warning
    assert warning in capsys.readouterr().err
    assert list(store.manifest.splits) == ["train", "validation", "test"]


@pytest.mark.parametrize("space", ["\n \n\t\n", "  ", ""])
def test_copies_are_found_in_texts_of_many_blocks(monkeypatch, space: str):
    monkeypatch.setattr(documents, "BLOCK_CHARACTERS", 2)
    text = "one\n\n \n two \nthree"
    held_out = [Document("a", f"{space}{text}\n{space}"), Document("b", space)]
    train = [Document("c", f"\t{text}"), Document("d", text[1:]), Document("e", " ")]
    finder = CopyFinder()
    assert list(finder.watch("test", held_out)) == held_out
    assert list(finder.watch("train", train)) == train
    [line] = finder.describe()
    assert line.startswith("in train, although validation or test holds the same text: c;")


def test_a_bad_held_out_line_is_found_before_train_is_encoded(
    write_shards, data_dir: Path, tmp_path: Path
):
    parts = {"train": ["a"], "validation": ["b", b"{"], "test": ["c"]}
    register(data_dir, write_shards(tmp_path, **parts), "mine")
    stages: list[str] = []
    with pytest.raises(DataError, match="line 2"):
        prepare(data_dir, BYTES, progress=stages.append)
    assert "encoding train" not in stages
