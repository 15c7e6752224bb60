from pathlib import Path

import numpy as np
import pytest

from switchhead_lab.config.data import ByteTokenizer, SentencePieceTokenizer
from switchhead_lab.data import documents as document_module
from switchhead_lab.data import encoding
from switchhead_lab.data.documents import Document, blocks_of
from switchhead_lab.data.encoding import training_texts, unigram_perplexity, write_tokens
from switchhead_lab.data.tokenisation import train_tokenizer
from switchhead_lab.errors import DataError

BYTE = train_tokenizer(ByteTokenizer(), [])


def documents(*texts: str):
    """Return documents that can be iterated over once."""
    return (Document(f"d{number}", text) for number, text in enumerate(texts))


def test_limit_is_met_exactly_and_the_last_document_cut(tmp_path: Path):
    for limit in range(1, 10):
        path = tmp_path / "train.bin"
        split = write_tokens(path, documents("abc", "", "def"), BYTE, max_tokens=limit)
        tokens = np.fromfile(path, dtype="<u2")
        whole = b"abc\0\0def\0"
        assert bytes(tokens.tolist()) == whole[: limit - 1] + b"\0"
        assert split.n_tokens == len(tokens) == limit
        assert split.n_documents == bytes(tokens.tolist()).count(b"\0")
        assert split.n_bytes == limit - split.n_documents


def test_nothing_is_read_beyond_the_limit(tmp_path: Path):
    def endless():
        while True:
            yield Document("d", "abc")

    assert write_tokens(tmp_path / "train.bin", endless(), BYTE, max_tokens=8).n_documents == 2


def test_long_texts_give_the_same_tokens_in_blocks(tmp_path: Path, monkeypatch, long_text: str):
    tokenizer = train_tokenizer(SentencePieceTokenizer(vocab_size=400), [long_text[:50_000]])
    text = long_text[:60_000]
    monkeypatch.setattr(document_module, "BLOCK_CHARACTERS", 1000)
    assert len(list(blocks_of(text))) > 30
    split = write_tokens(tmp_path / "train.bin", documents(text), tokenizer)
    tokens = np.fromfile(tmp_path / "train.bin", dtype="<u2")
    assert tokens[:-1].tolist() == tokenizer.encode(text).tolist()
    assert tokens[-1] == tokenizer.end_of_document
    assert (split.n_documents, split.n_bytes) == (1, len(text.encode()))
    assert split.token_counts.tolist() == np.bincount(tokens, minlength=400).tolist()


def test_unusable_text_names_its_document(tmp_path: Path):
    with pytest.raises(DataError, match="document d1: the text holds a NUL"):
        write_tokens(tmp_path / "train.bin", documents("a", "b\0"), BYTE)


def test_split_without_documents_and_split_too_short_are_errors(tmp_path: Path):
    with pytest.raises(DataError, match="the test split holds no document"):
        write_tokens(tmp_path / "test.bin", documents(), BYTE)
    with pytest.raises(DataError, match="max_train_tokens=3, but the train split has only 2"):
        write_tokens(tmp_path / "train.bin", documents("a"), BYTE, max_tokens=3)


def test_progress_is_reported(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(encoding, "REPORT_EVERY", 4)
    reports: list[str] = []
    write_tokens(tmp_path / "train.bin", documents("a", "bc", "d"), BYTE, report=reports.append)
    assert reports == ["encoded 5 tokens"]


def test_limited_training_reads_the_first_bytes_only(monkeypatch):
    monkeypatch.setattr(encoding, "MAX_TRAINING_BYTES", 4)
    assert list(training_texts(documents("ab", "cd", "e"), is_limited=True)) == ["ab", "cd"]
    assert list(training_texts(documents("ab", "cd", "e"), is_limited=False)) == ["ab", "cd", "e"]


def test_long_training_texts_come_in_blocks(monkeypatch):
    monkeypatch.setattr(document_module, "BLOCK_CHARACTERS", 2)
    blocks = list(training_texts(documents("ab\ncd\nef", "gh"), is_limited=False))
    assert blocks == ["ab\n", "cd\n", "ef", "gh"]


def test_unigram_perplexity_of_a_uniform_model_is_its_size():
    assert unigram_perplexity(np.array([0, 0]), np.array([3, 1])) == pytest.approx(2)
