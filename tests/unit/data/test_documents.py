import hashlib
from pathlib import Path

import pytest

from switchhead_lab.data.documents import (
    SPLITS,
    Document,
    corpus_of_documents,
    hash_documents,
    read_source,
    read_text,
)
from switchhead_lab.errors import DataError


def ids_of(corpus):
    return {split: [document.id for document in corpus.splits[split]] for split in SPLITS}


def test_whole_documents_go_by_rank_of_their_hash():
    documents = [Document(f"d{number}", "x" * 100) for number in range(40)]
    ranked = sorted((d.id for d in documents), key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    ids = ids_of(corpus_of_documents("c", documents, "here"))
    assert set(ids["validation"]) == set(ranked[:2])
    assert set(ids["test"]) == set(ranked[2:4])
    assert set(ids["train"]) == set(ranked[4:])


def test_split_fills_by_bytes_and_keeps_the_given_order():
    documents = [Document(f"d{number}", "é" * (number + 1)) for number in range(60)]
    corpus = corpus_of_documents("c", documents, "here")
    for split in ("validation", "test"):
        sizes = [document.n_bytes for document in corpus.splits[split]]
        assert sum(sizes) >= 0.05 * corpus.n_bytes > sum(sizes) - max(sizes)
    order = [document.id for document in documents]
    for ids in ids_of(corpus).values():
        assert ids == sorted(ids, key=order.index)
    assert corpus.n_bytes == 2 * 60 * 61 // 2
    assert corpus.n_documents == 60


def test_too_few_documents_say_how_many_are_needed():
    with pytest.raises(DataError, match=r"^here: 2 documents.*at least 3"):
        corpus_of_documents("c", [Document("a", "a"), Document("b", "b")], "here")


def test_a_split_without_documents_is_an_error():
    ids = sorted("abc", key=lambda i: hashlib.sha256(i.encode()).hexdigest())
    sizes = dict(zip(ids, (1, 1000, 1), strict=True))
    with pytest.raises(DataError, match="no document is left for train"):
        corpus_of_documents("c", [Document(i, "x" * sizes[i]) for i in "abc"], "here")


def test_folder_reads_visible_text_files_in_order_of_path(folder: Path):
    (folder / "image.png").write_bytes(b"\0")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "cache.txt").write_text("no", encoding="utf-8")
    corpus = read_source("letters", folder)
    ids = [i for split in ids_of(corpus).values() for i in split]
    assert sorted(ids) == ["deep/letter.md", *(f"letter-{n:02}.txt" for n in range(11))]
    assert all(documents for documents in corpus.splits.values())


def test_source_hash_depends_on_texts_and_names(folder: Path):
    before = read_source("letters", folder).source_sha256
    assert read_source("other", folder).source_sha256 == before
    (folder / "letter-00.txt").rename(folder / "letter-zero.txt")
    renamed = read_source("letters", folder).source_sha256
    (folder / "letter-01.txt").write_text("Changed.\n", encoding="utf-8")
    assert len({before, renamed, read_source("letters", folder).source_sha256}) == 3
    assert hash_documents([Document("a", "b")]) != hash_documents([Document("b", "a")])


@pytest.mark.parametrize("validation", ["validation.txt", "valid.txt", "val.txt"])
def test_own_split_is_respected(folder: Path, validation: str):
    for name in ("train.txt", validation, "test.txt"):
        (folder / name).write_text(f"text of {name}\n", encoding="utf-8")
    assert ids_of(read_source("own", folder)) == {
        "train": ["train.txt"],
        "validation": [validation],
        "test": ["test.txt"],
    }


def test_incomplete_or_double_own_split_is_an_error(folder: Path):
    (folder / "train.txt").write_text("a\n", encoding="utf-8")
    (folder / "test.txt").write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds train\.txt but no validation\.txt"):
        read_source("own", folder)
    for name in ("valid.txt", "val.txt"):
        (folder / name).write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds valid\.txt and val\.txt; keep one"):
        read_source("own", folder)


def test_single_file_is_cut_at_line_ends_in_order(text_file: Path):
    corpus = read_source("notes", text_file)
    parts = [corpus.splits[split][0].text for split in SPLITS]
    contents = text_file.read_bytes()
    assert "".join(parts).encode() == contents
    assert all(part.endswith("\n") for part in parts)
    shares = [len(part.encode()) / len(contents) for part in parts]
    assert shares == pytest.approx([0.9, 0.05, 0.05], abs=0.01)
    assert corpus.source_sha256 == hashlib.sha256(contents).hexdigest()


def test_single_file_keeps_every_byte_of_odd_newlines(tmp_path: Path):
    path = tmp_path / "dos.txt"
    path.write_bytes("é \u2028x\r\n".encode() * 100)
    splits = read_source("dos", path).splits
    assert "".join(splits[s][0].text for s in SPLITS).encode() == path.read_bytes()


def test_file_with_too_few_lines_is_an_error(tmp_path: Path):
    path = tmp_path / "one.txt"
    path.write_text("one line only", encoding="utf-8")
    with pytest.raises(DataError, match=r"one\.txt: train would come out empty"):
        read_source("one", path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"abc\0def", r"binary, not text \(NUL byte at offset 3\)"),
        (b"caf\xe9 noir", r"not UTF-8 \(byte 0xe9 at offset 3\)"),
    ],
)
def test_unusable_files_are_named(folder: Path, contents: bytes, message: str):
    path = folder / "letter-03.txt"
    path.write_bytes(contents)
    for attempt in (lambda: read_text(path), lambda: read_source("letters", folder)):
        with pytest.raises(DataError, match=rf"letter-03\.txt: {message}"):
            attempt()


def test_missing_path_and_empty_folder_are_errors(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone: no such file or folder"):
        read_source("x", tmp_path / "gone")
    with pytest.raises(DataError, match=r"holds no \.txt, \.md, \.text file"):
        read_source("x", tmp_path)
