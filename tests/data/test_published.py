import gzip
import json
import shutil
from pathlib import Path

import pytest

from switchhead_lab.config.data import ByteTokenizer, CharTokenizer, TextData
from switchhead_lab.data import encoding, published
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import articles, read_local
from switchhead_lab.data.token_store import prepare, register
from switchhead_lab.errors import DataError

ARTICLE = " \n = {0} = \n \n The first <unk> of {0} . \n \n = = History = = \n \n Text = text . \n"


def texts_of(corpus) -> dict[str, list[str]]:
    return {split: [document.text for document in corpus.splits[split]] for split in SPLITS}


@pytest.fixture
def wikitext(tmp_path: Path) -> Path:
    folder = tmp_path / "wikitext-103"
    folder.mkdir()
    for name, titles in {"train": "ABC", "valid": "DE", "test": "F"}.items():
        text = "".join(ARTICLE.format(title) for title in titles)
        (folder / f"wiki.{name}.tokens").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def c4(tmp_path: Path) -> Path:
    """Two train shards and two validation shards, with C4's file names."""
    folder = tmp_path / "en"
    folder.mkdir()
    for split, n_shards, n_all in (("train", 2, 1024), ("validation", 2, 8)):
        for shard in range(n_shards):
            with gzip.open(folder / f"c4-{split}.{shard:05}-of-{n_all:05}.json.gz", "wt") as file:
                for number in range(3):
                    document = {"text": f"{split} {shard}{number}", "url": "u", "timestamp": "t"}
                    file.write(json.dumps(document) + "\n")
    return folder


def prepared(data_dir: Path, name: str, path: Path, **options):
    register(data_dir, path, name)
    return prepare(data_dir, TextData(corpus=name, tokenizer=ByteTokenizer(), **options))


def test_wikitext_has_a_document_per_article_and_its_own_split(wikitext: Path, no_network):
    corpus = read_local("wikitext103", wikitext, BadLines())
    texts = texts_of(corpus)
    assert {split: len(texts[split]) for split in SPLITS} == {
        "train": 3,
        "validation": 2,
        "test": 1,
    }
    assert "".join(texts["train"]) == (wikitext / "wiki.train.tokens").read_text(encoding="utf-8")
    for text, title in zip(texts["train"], "ABC", strict=True):
        assert f" = {title} = \n" in text
        assert f" of {title} . \n" in text
    assert no_network == []


def test_headings_need_blank_lines_around_them():
    lines = [
        *(" \n", " = A = \n", " \n", " = not one = \n", " x \n", " \n", " = = B = = \n", " \n"),
        *(" \n", " = C = D = \n", " \n", " y"),
    ]
    documents = list(articles(lines, "f"))
    assert [document.text for document in documents] == ["".join(lines[:9]), "".join(lines[9:])]
    assert [document.id for document in documents] == ["f:0", "f:1"]


def test_raw_names_are_read_but_forms_are_not_mixed(wikitext: Path):
    with pytest.raises(DataError, match="a file; wikitext103 is a folder"):
        read_local("wikitext103", wikitext / "wiki.test.tokens", BadLines())
    (wikitext / "wiki.test.tokens").rename(wikitext / "wiki.test.raw")
    with pytest.raises(DataError, match="mixes two forms"):
        read_local("wikitext103", wikitext, BadLines())
    for name in ("train", "valid"):
        (wikitext / f"wiki.{name}.tokens").rename(wikitext / f"wiki.{name}.raw")
    assert len(texts_of(read_local("wikitext103", wikitext, BadLines()))["train"]) == 3
    shutil.copy(wikitext / "wiki.train.raw", wikitext / "wiki.train.tokens")
    with pytest.raises(DataError, match=r"holds wiki\.train\.tokens and wiki\.train\.raw; keep"):
        read_local("wikitext103", wikitext, BadLines())


def test_wikitext_without_validation_names_the_files_found(wikitext: Path):
    (wikitext / "wiki.valid.tokens").unlink()
    with pytest.raises(
        DataError,
        match=r"wikitext-103: no file for the validation split; found wiki\.test\.tokens, "
        r"wiki\.train\.tokens, expected wiki\.valid\.tokens or wiki\.valid\.raw",
    ):
        read_local("wikitext103", wikitext, BadLines())


def test_c4_halves_its_validation_documents(c4: Path, no_network):
    assert texts_of(read_local("c4", c4, BadLines())) == {
        "train": [f"train {shard}{number}" for shard in (0, 1) for number in range(3)],
        "validation": ["validation 00", "validation 02", "validation 11"],
        "test": ["validation 01", "validation 10", "validation 12"],
    }
    assert no_network == []


def test_pes2o_is_read_under_its_own_names(write_shards, tmp_path: Path, no_network):
    write_shards(tmp_path, train=["a", "b"], validation=["c", "d", "e"])
    assert texts_of(read_local("pes2o", tmp_path, BadLines())) == {
        "train": ["a", "b"],
        "validation": ["c", "e"],
        "test": ["d"],
    }
    assert no_network == []


def test_c4_without_validation_or_with_a_test_split_is_an_error(c4: Path):
    (c4 / "c4-test.00000-of-00001.json.gz").write_bytes(b"")
    with pytest.raises(DataError, match="c4 is published without a test split"):
        read_local("c4", c4, BadLines())
    for path in [*c4.glob("c4-validation*"), *c4.glob("c4-test*")]:
        path.unlink()
    with pytest.raises(
        DataError,
        match=r"en: no file for the validation split; found c4-train\.00000-of-01024\.json\.gz, "
        r".*, expected c4-validation\*",
    ):
        read_local("c4", c4, BadLines())


def test_limit_leaves_later_shards_unread(c4: Path, data_dir: Path, no_network):
    damaged = c4 / "c4-train.00001-of-01024.json.gz"
    damaged.write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"00001-of-01024\.json\.gz: cannot be read after line 0"):
        prepared(data_dir, "c4", c4)
    store = prepared(data_dir, "c4", c4, max_train_tokens=15)
    assert store.path.name == "byte-first-15"
    assert store.manifest.max_train_tokens == 15
    assert store.tokens("train").tobytes()[::2] == b"train 00\0train\0"
    assert store.manifest.splits["validation"].n_documents == 3
    assert no_network == []


def test_limit_leaves_later_shards_unread_by_a_trained_tokenizer(c4, data_dir, monkeypatch):
    (c4 / "c4-train.00001-of-01024.json.gz").write_bytes(b"no gzip")
    monkeypatch.setattr(encoding, "MAX_TRAINING_BYTES", 16)
    register(data_dir, c4, "c4")
    data = TextData(corpus="c4", tokenizer=CharTokenizer(vocab_size=20), max_train_tokens=5)
    assert prepare(data_dir, data).path.name == "char-20-first-5"


def test_limit_beyond_the_corpus_is_an_error(c4: Path, data_dir: Path):
    with pytest.raises(DataError, match="max_train_tokens=55, but the train split has only 54"):
        prepared(data_dir, "c4", c4, max_train_tokens=55)
    assert prepared(data_dir, "c4", c4, max_train_tokens=54).tokens("train")[-1] == 0


def test_enwik8_is_cut_by_bytes_into_parts_that_touch(tmp_path: Path, data_dir: Path, no_network):
    contents = ("<page>\n" * 1000).encode()
    (tmp_path / "enwik8").write_bytes(contents)
    store = prepared(data_dir, "enwik8", tmp_path)
    parts = {split: store.manifest.splits[split] for split in SPLITS}
    assert [parts[split].n_bytes for split in SPLITS] == [6300, 350, 350]
    assert {part.n_documents for part in parts.values()} == {1}
    text = b"".join(store.tokens(split)[:-1].astype("u1").tobytes() for split in SPLITS)
    assert text == contents
    assert no_network == []


@pytest.mark.parametrize("n_before", range(5))
def test_enwik8_cuts_no_character(tmp_path: Path, n_before: int):
    path = tmp_path / "enwik8"
    text = "x" * n_before + "\N{GRINNING FACE}" * 100
    path.write_text(text, encoding="utf-8")
    texts = texts_of(read_local("enwik8", path, BadLines()))
    assert "".join(texts[split][0] for split in SPLITS) == text
    for split in ("validation", "test"):
        assert len(texts[split][0].encode()) == pytest.approx(0.05 * len(text.encode()), abs=4)


def test_unusable_enwik8_says_where_it_comes_from(tmp_path: Path, monkeypatch):
    with pytest.raises(DataError, match=r"holds no file enwik8; expected the first 100,000,000 by"):
        read_local("enwik8", tmp_path, BadLines())
    path = tmp_path / "enwik8"
    path.write_text("ab", encoding="utf-8")
    with pytest.raises(DataError, match="2 bytes are too few to cut"):
        read_local("enwik8", path, BadLines())
    path.write_bytes(b"x" * 95 + b"\xe9 xxxx")
    with pytest.raises(DataError, match=r"enwik8: not UTF-8 \(byte 0xe9 at offset 95\)"):
        texts_of(read_local("enwik8", path, BadLines()))
    monkeypatch.setattr(published, "ENWIK8_BYTES", 100)
    with pytest.raises(DataError, match="101 bytes, more than enwik8 has"):
        read_local("enwik8", path, BadLines())
