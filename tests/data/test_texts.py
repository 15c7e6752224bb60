import hashlib
from pathlib import Path

import pytest

from switchhead_lab.data.documents import SPLITS, Corpus, Document, hash_documents
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import read_local
from switchhead_lab.data.text_reading import read_text
from switchhead_lab.errors import DataError


def read_source(name: str, path: Path) -> Corpus:
    return read_local(name, path, BadLines())


def text_of(document) -> str:
    return "".join(document.blocks())


def ids_of(corpus):
    return {split: [document.id for document in corpus.splits[split]] for split in SPLITS}


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


def test_incomplete_or_ambiguous_own_split_is_an_error(folder: Path):
    (folder / "train.txt").write_text("a\n", encoding="utf-8")
    (folder / "test.txt").write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds train\.txt but no validation\.txt"):
        read_source("own", folder)
    for name in ("valid.txt", "val.txt"):
        (folder / name).write_text("a\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds val\.txt and valid\.txt; keep one"):
        read_source("own", folder)


def test_single_file_is_cut_at_line_ends_in_order(text_file: Path):
    corpus = read_source("notes", text_file)
    parts = [text_of(corpus.splits[split][0]) for split in SPLITS]
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
    assert "".join(text_of(splits[s][0]) for s in SPLITS).encode() == path.read_bytes()


def test_file_with_too_few_lines_is_an_error(tmp_path: Path):
    path = tmp_path / "one.txt"
    path.write_text("one line only", encoding="utf-8")
    with pytest.raises(DataError, match=r"one\.txt: train would be empty"):
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
def test_errors_name_unusable_files(folder: Path, contents: bytes, message: str):
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


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train.TXT", "Valid.txt", "TEST.txt"),
        ("train.md", "validation.md", "test.md"),
        ("train/a.txt", "val/a.txt", "test/b.txt"),
    ],
)
def test_own_split_in_other_spellings_is_respected(folder: Path, train, validation, test):
    for name in (train, validation, test):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"text of {name}\n", encoding="utf-8")
    corpus = read_source("own", folder)
    assert ids_of(corpus) == {"train": [train], "validation": [validation], "test": [test]}
    assert any("letter-00.txt" in remark for remark in corpus.remarks)


def test_a_split_that_is_incomplete_or_in_a_subfolder_is_rejected(folder: Path):
    for name in ("train", "test"):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text(f"{name}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"folders are splits, but none is validation"):
        read_source("own", folder)
    for name in ("train", "test"):
        (folder / name / "a.txt").unlink()
    for name in ("train.txt", "val.txt", "test.txt"):
        (folder / "deep" / name).write_text(f"{name}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"the files of a split are in .*/deep; give that path"):
        read_source("own", folder)


@pytest.mark.parametrize("contents", ["", " \n\t\n", "\ufeff\n"])
@pytest.mark.parametrize("name", ["train.txt", "validation.txt", "test.txt"])
def test_errors_name_an_empty_file_of_an_own_split(folder: Path, name: str, contents: str):
    for other in ("train.txt", "validation.txt", "test.txt"):
        (folder / other).write_text("a\n", encoding="utf-8")
    (folder / name).write_text(contents, encoding="utf-8")
    with pytest.raises(DataError, match=rf"/{name}: empty"):
        read_source("own", folder)


def test_json_lines_named_as_text_give_a_remark(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text('{"text": "a b"}\n' * 100, encoding="utf-8")
    [remark] = read_source("a", path).remarks
    assert "lines are JSON objects with a field 'text': a.txt; give such files the suffix" in remark
    path.write_text("{a}\n" * 100, encoding="utf-8")
    assert read_source("a", path).remarks == []


@pytest.mark.parametrize("name", ["table.csv", "page.html"])
def test_a_file_with_another_suffix_is_read_verbatim_with_a_remark(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("a,b\n" * 100, encoding="utf-8")
    [remark] = read_source("a", path).remarks
    assert f"since no reader handles the suffix {path.suffix}: {name}" in remark
    for plain in ("a.TXT", "plain"):
        assert read_source("a", path.rename(tmp_path / plain)).remarks == []
        path = tmp_path / plain


def test_names_that_are_not_utf8_are_read(folder: Path):
    bad = folder / b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    bad.write_text("Text.\n", encoding="utf-8")
    corpus = read_source("letters", folder)
    ids = [i for split in ids_of(corpus).values() for i in split]
    assert r"caf\xe9.txt" in ids
    assert len(corpus.source_sha256) == 64


def test_texts_in_upper_case_and_compressed_are_read(folder: Path):
    import gzip

    (folder / "more.TXT").write_text("Upper.\n", encoding="utf-8")
    (folder / "packed.txt.GZ").write_bytes(gzip.compress(b"Packed.\n"))
    corpus = read_source("letters", folder)
    texts = {d.id: text_of(d) for split in SPLITS for d in corpus.splits[split]}
    assert (texts["more.TXT"], texts["packed.txt.GZ"]) == ("Upper.\n", "Packed.\n")
