from pathlib import Path

import numpy as np

from switchhead_lab.config.data import ByteTokenizer, CharTokenizer, ListOpsData, TextData
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.example_store import prepare_examples
from switchhead_lab.data.listing import list_corpora
from switchhead_lab.data.published import PUBLISHED
from switchhead_lab.data.token_store import prepare, register


def test_every_corpus_and_store_has_a_row(data_dir: Path, folder: Path, text_file: Path):
    register(data_dir, folder, "letters")
    entry = register(data_dir, text_file, "notes")
    for tokenizer in (CharTokenizer(vocab_size=64), ByteTokenizer()):
        store = prepare(data_dir, TextData(corpus="letters", tokenizer=tokenizer))
    sotu, *published, first, second, notes = list_corpora(data_dir)
    assert [row["corpus"] for row in published] == list(PUBLISHED)
    assert {row["tokenizer"] for row in published} == {None}
    assert list(sotu) == list(first) == list(notes)
    assert set(sotu.values()) == {"sotu", None}
    assert (first["tokenizer"], second["tokenizer"]) == ("byte", "char-64")
    assert first["train tokens"] == store.manifest.splits["train"].n_tokens
    assert first["documents"] == 12
    assert first["unigram perplexity"] == store.manifest.unigram_perplexity.validation
    assert (notes["bytes"], notes["tokenizer"]) == (entry.n_bytes, None)


def test_generated_examples_have_a_row_once_they_are_prepared(data_dir: Path):
    corpora = list_corpora(data_dir)
    assert "listops" not in {row["corpus"] for row in corpora}
    data = ListOpsData(kind="listops", n_train=30, n_validation=4, n_test=5)
    store = prepare_examples(data_dir, data)
    *others, row = list_corpora(data_dir)
    assert others == corpora
    assert list(row) == list(corpora[0])
    assert (row["corpus"], row["documents"]) == ("listops", 39)
    for split in SPLITS:
        assert row[f"{split} tokens"] == np.count_nonzero(store.examples(split).tokens)
    assert {row["tokenizer"], row["bytes"], row["unigram perplexity"]} == {None}


def test_a_damaged_corpus_does_not_hide_others(data_dir: Path, text_file: Path, capsys):
    register(data_dir, text_file, "notes")
    (data_dir / "bad").mkdir()
    (data_dir / "bad" / "corpus.json").write_text("{", encoding="utf-8")
    names = [row["corpus"] for row in list_corpora(data_dir)]
    assert "notes" in names
    assert "bad" not in names
    warning = capsys.readouterr().err
    assert warning.startswith("warning: skipped: ")
    assert "bad/corpus.json: damaged" in warning


def test_an_unreadable_store_does_not_hide_others(data_dir: Path, text_file: Path, capsys):
    register(data_dir, text_file, "notes")
    (data_dir / "notes" / "byte" / "manifest.json").mkdir(parents=True)
    names = [row["corpus"] for row in list_corpora(data_dir)]
    assert "sotu" in names
    assert "notes" not in names
    assert "byte/manifest.json: cannot be read: Is a directory" in capsys.readouterr().err
