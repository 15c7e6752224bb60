from pathlib import Path

import numpy as np
import pytest

from switchhead_lab.config.data import ByteTokenizer, CharTokenizer, SentencePieceTokenizer
from switchhead_lab.data import tokenisation
from switchhead_lab.data.tokenisation import (
    load_tokenizer,
    tokenizer_file_name,
    tokenizer_id,
    train_tokenizer,
)
from switchhead_lab.errors import DataError

PIECES = SentencePieceTokenizer(vocab_size=320)
CONFIGS = [PIECES, ByteTokenizer(), CharTokenizer(vocab_size=40)]
AWKWARD = [
    "",
    "\n",
    "\n\n  two  spaces, \ttab \r\n end\n",
    " leading and trailing ",
    "literal <0x0A> <s> </s> <unk>",
    "\u2581 is not a space \u2581\u2581, nor is \u00a0, \u3000 or \u2585",
    "e\u0301 \u00e9 \N{GRINNING FACE} 日本語 \u2028 \ufeff",
]


@pytest.fixture
def texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


@pytest.mark.parametrize("config", CONFIGS, ids=tokenizer_id)
def test_training_repeats_byte_for_byte_and_loads_back(config, texts, tmp_path: Path):
    tokenizer = train_tokenizer(config, texts)
    assert train_tokenizer(config, texts).to_bytes() == tokenizer.to_bytes()
    path = tmp_path / tokenizer_file_name(config)
    path.write_bytes(tokenizer.to_bytes())
    loaded = load_tokenizer(config, path)
    assert loaded.vocab_size == tokenizer.vocab_size == config.vocab_size
    assert loaded.end_of_document == tokenizer.end_of_document
    ids = tokenizer.encode(texts[0])
    assert ids.dtype == np.uint16
    assert ids.tolist() == loaded.encode(texts[0]).tolist()
    assert loaded.decode(ids) == texts[0]


@pytest.mark.parametrize("config", CONFIGS[:2], ids=tokenizer_id)
@pytest.mark.parametrize("text", AWKWARD)
def test_every_text_is_restored_exactly(config, text, texts):
    tokenizer = train_tokenizer(config, texts)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.end_of_document not in ids
    assert all(ids < config.vocab_size)


@pytest.mark.parametrize("config", CONFIGS, ids=tokenizer_id)
def test_end_of_document_has_no_text(config, texts):
    tokenizer = train_tokenizer(config, texts)
    ids = np.append(tokenizer.encode("Bada."), tokenizer.end_of_document)
    assert tokenizer.decode(ids) == "Bada."


def test_pieces_are_shorter_than_bytes(texts):
    assert len(train_tokenizer(PIECES, texts).encode(texts[0])) < 0.8 * len(texts[0])


def test_lines_are_encoded_independently_however_long_the_text(texts, long_text):
    tokenizer = train_tokenizer(SentencePieceTokenizer(vocab_size=560), texts)
    newline = tokenizer.encode("\n").tolist()
    assert len(newline) == 1
    by_line = []
    for line in long_text.split("\n"):
        by_line += tokenizer.encode(line).tolist() + newline
    assert tokenizer.encode(long_text).tolist() == by_line[:-1]


def test_training_is_silent(texts, capfd: pytest.CaptureFixture):
    train_tokenizer(PIECES, texts)
    assert capfd.readouterr() == ("", "")


def test_long_lines_are_trained_on(texts):
    long_line = " ".join(["zwickmuehle"] * 3000)
    tokenizer = train_tokenizer(PIECES, [*texts, long_line])
    assert len(tokenizer.encode(" zwickmuehle")) <= 3


def test_large_texts_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch):
    texts = ["".join(f"{number:09}\n" for number in range(100))]
    assert len(tokenisation._sample_lines(texts)) == 100
    monkeypatch.setattr(tokenisation, "MAX_TRAINING_BYTES", 300)
    assert tokenisation._sample_lines(texts) == [f"{n:09}" for n in range(0, 100, 4)]
    assert tokenisation._sample_lines(iter(texts * 2))[:3] == [f"{n:09}" for n in (0, 8, 16)]


def test_errors_for_a_small_corpus_name_the_largest_size(texts):
    with pytest.raises(DataError, match=r"too small for vocab_size=30000") as caught:
        train_tokenizer(SentencePieceTokenizer(vocab_size=30_000), texts)
    largest = int(str(caught.value).split("at most ")[1].split(",")[0])
    tokenizer = train_tokenizer(SentencePieceTokenizer(vocab_size=largest), texts)
    assert tokenizer.vocab_size == largest


def test_tiny_corpus_suggests_other_tokenizers():
    with pytest.raises(DataError, match="give more text, or use the byte or char tokenizer"):
        train_tokenizer(SentencePieceTokenizer(vocab_size=300), ["ab\n"])


def test_errors_for_many_characters_name_the_smallest_size():
    text = "".join(f"{chr(0x4E00 + n)} {chr(0x4E00 + n)}a\n" for n in range(200))
    with pytest.raises(DataError, match=r"too many characters for vocab_size=300; use at least"):
        train_tokenizer(SentencePieceTokenizer(vocab_size=300), [text])


def test_character_ids_follow_frequency_and_others_are_unknown():
    tokenizer = train_tokenizer(CharTokenizer(vocab_size=5), ["bbbaacd", "c"])
    assert tokenizer.encode("bacd").tolist() == [2, 3, 4, 0]
    assert tokenizer.decode([2, 3, 4, 0, 1]) == "bac\ufffd"


def test_unused_character_ids_keep_the_configured_size():
    tokenizer = train_tokenizer(CharTokenizer(vocab_size=10), ["ab"])
    assert tokenizer.vocab_size == 10
    assert tokenizer.decode([2, 9]) == "a\ufffd"


def test_byte_tokenizer_refuses_its_reserved_character():
    with pytest.raises(DataError, match="NUL"):
        train_tokenizer(ByteTokenizer(), []).encode("a\0b")


@pytest.mark.parametrize("config", CONFIGS, ids=tokenizer_id)
def test_errors_name_a_damaged_file(config, tmp_path: Path, capfd: pytest.CaptureFixture):
    path = tmp_path / tokenizer_file_name(config)
    with pytest.raises(DataError, match=f"{path.name}: cannot be read"):
        load_tokenizer(config, path)
    path.write_bytes(b"{}")
    with pytest.raises(DataError, match=f"{path.name}: not a {tokenizer_id(config)} tokenizer"):
        load_tokenizer(config, path)


def test_tokenizer_of_another_size_is_rejected(texts, tmp_path: Path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_tokenizer(PIECES, texts).to_bytes())
    with pytest.raises(DataError, match="not a sentencepiece-321 tokenizer"):
        load_tokenizer(SentencePieceTokenizer(vocab_size=321), path)
