from pathlib import Path

import pytest

from switchhead_lab.data import corpora
from switchhead_lab.data.corpora import (
    EmbeddedCorpus,
    HubCorpus,
    RegisteredCorpus,
    find_corpus,
    inspect_source,
    known_corpora,
    read_sotu,
    write_entry,
)
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.published import PUBLISHED
from switchhead_lab.errors import DataError


def test_embedded_corpus_is_known_everywhere(data_dir: Path):
    assert isinstance(find_corpus(data_dir, "sotu"), EmbeddedCorpus)
    assert known_corpora(data_dir) == ["sotu", *PUBLISHED]


def test_published_names_prefer_local_files_to_the_hub(data_dir: Path, tmp_path: Path):
    assert isinstance(find_corpus(data_dir, "enwik8"), HubCorpus)
    (tmp_path / "enwik8").write_text("x" * 100, encoding="utf-8")
    write_entry(data_dir, inspect_source(tmp_path, "enwik8"))
    assert isinstance(find_corpus(data_dir, "enwik8"), RegisteredCorpus)
    assert known_corpora(data_dir) == ["sotu", *PUBLISHED]


def test_sotu_is_divided_by_whole_messages_in_order_of_time():
    corpus = read_sotu()
    ids = {split: [document.id for document in corpus.splits[split]] for split in SPLITS}
    assert sum(map(len, ids.values())) == corpus.n_documents == 237
    assert len({i for split in ids.values() for i in split}) == 237
    for split in SPLITS:
        years = [int(i[:4]) for i in ids[split]]
        assert years == sorted(years)
    for split in ("validation", "test"):
        n_bytes = sum(document.n_bytes for document in corpus.splits[split])
        assert 0.05 <= n_bytes / corpus.n_bytes < 0.08


def test_entry_round_trips_and_reads_its_source(data_dir: Path, folder: Path):
    entry = inspect_source(folder, "letters")
    assert (entry.kind, entry.n_documents, entry.source_path) == ("folder", 12, str(folder))
    write_entry(data_dir, entry)
    corpus = find_corpus(data_dir, "letters")
    assert isinstance(corpus, RegisteredCorpus)
    assert corpus.entry == entry
    assert corpus.read().source_sha256 == entry.source_sha256
    assert corpus.read().n_bytes == entry.n_bytes
    assert known_corpora(data_dir) == ["sotu", *PUBLISHED, "letters"]


def test_relative_path_is_stored_absolute(text_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(text_file.parent)
    entry = inspect_source(Path("notes.txt"), "notes")
    assert (entry.kind, entry.source_path) == ("file", str(text_file))


def test_unknown_name_suggests_and_says_how_to_add(data_dir: Path, text_file: Path):
    write_entry(data_dir, inspect_source(text_file, "notes"))
    with pytest.raises(DataError) as caught:
        find_corpus(data_dir, "nots")
    message = str(caught.value)
    assert message.startswith(
        'no corpus "nots" (did you mean "notes"?); known: sotu, '
        "wikitext103, c4, pes2o, enwik8, notes;"
    )
    assert "`lab data prepare PATH --name nots`" in message


def test_changed_source_names_both_hashes(data_dir: Path, text_file: Path):
    entry = inspect_source(text_file, "notes")
    with text_file.open("a", encoding="utf-8") as file:
        file.write("One more line.\n")
    new = inspect_source(text_file, "notes")
    with pytest.raises(DataError, match="has changed") as caught:
        RegisteredCorpus(entry).read()
    message = str(caught.value)
    assert entry.source_sha256 in message
    assert new.source_sha256 in message
    assert "--name notes --replace" in message


def test_vanished_source_names_the_path(text_file: Path):
    entry = inspect_source(text_file, "notes")
    text_file.unlink()
    with pytest.raises(DataError, match=r"notes\.txt is gone.*--replace"):
        RegisteredCorpus(entry).read()


def test_damaged_entry_names_the_file(data_dir: Path):
    path = data_dir / "notes" / corpora.ENTRY_FILE
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "notes"', encoding="utf-8")
    with pytest.raises(DataError, match=r"notes/corpus\.json: damaged"):
        find_corpus(data_dir, "notes")


@pytest.mark.parametrize("name", ["Notes", "my-notes", "a b", "", "../up", "x" * 41])
def test_malformed_names_are_rejected(text_file: Path, name: str):
    with pytest.raises(DataError, match="is not a corpus name"):
        inspect_source(text_file, name)


def test_embedded_name_is_reserved(text_file: Path):
    with pytest.raises(DataError, match='"sotu" is the name of an embedded corpus'):
        inspect_source(text_file, "sotu")
