from pathlib import Path

from switchhead_lab.config.schema import ByteTokenizer, CharTokenizer, DataConfig
from switchhead_lab.data.listing import list_corpora
from switchhead_lab.data.published import PUBLISHED
from switchhead_lab.data.token_store import prepare, register


def test_every_corpus_and_store_has_a_row(data_dir: Path, folder: Path, text_file: Path):
    register(data_dir, folder, "letters")
    entry = register(data_dir, text_file, "notes")
    for tokenizer in (CharTokenizer(vocab_size=64), ByteTokenizer()):
        store = prepare(data_dir, DataConfig(corpus="letters", tokenizer=tokenizer))
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
