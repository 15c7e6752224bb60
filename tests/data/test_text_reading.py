import codecs
import gzip
import json
from pathlib import Path

import pyarrow
import pytest

from switchhead_lab.data import text_reading
from switchhead_lab.data.jsonl import BadLines, read_jsonl
from switchhead_lab.data.text_reading import (
    find_line_starts,
    read_chunks,
    read_lines,
    read_text,
)
from switchhead_lab.errors import DataError

TEXT = "one é\r\ntwo\u2028\N{GRINNING FACE}\n\nlast"
MARKED = {
    "none": TEXT.encode(),
    "utf-8": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16-le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32-le": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "utf-32-be": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
}


@pytest.mark.parametrize("mark", MARKED)
@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".TXT.GZ", ".txt.ZST"])
def test_only_byte_order_marks_and_compression_are_removed(tmp_path: Path, mark: str, suffix: str):
    path = tmp_path / f"a{suffix}"
    contents = MARKED[mark]
    if suffix.lower().endswith("gz"):
        contents = gzip.compress(contents)
    if suffix.lower().endswith("zst"):
        contents = pyarrow.Codec("zstd").compress(contents, asbytes=True)
    path.write_bytes(contents)
    assert read_text(path) == TEXT
    lines = [f"{line}\n" for line in TEXT.split("\n")]
    assert [line.decode() for line in read_lines(path)] == [*lines[:-1], "last"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_the_first_line_of_marked_jsonl_is_not_lost(tmp_path: Path, encoding: str):
    path = tmp_path / "a.jsonl"
    lines = "".join(json.dumps({"text": text}) + "\r\n" for text in ("first", "second"))
    path.write_bytes(lines.encode(encoding))
    bad_lines = BadLines(skip=True)
    assert [d.text for d in read_jsonl(path, bad_lines)] == ["first", "second"]
    assert bad_lines.counts == {}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (codecs.BOM_UTF8 + b"ab\xe9 ", r"not UTF-8 \(byte 0xe9 at offset 5\)"),
        (codecs.BOM_UTF8 + b"ab\0", r"binary, not text \(NUL byte at offset 5\)"),
        (codecs.BOM_UTF8, "empty"),
        (codecs.BOM_UTF16_LE + b"a", r"not UTF-16 as its byte order mark says"),
        (codecs.BOM_UTF16_LE + b"a\0\0\0b\0", "binary, not text"),
        ("ab".encode("utf-16-le"), r"binary, not text \(NUL byte at offset 1\)"),
    ],
)
def test_errors_name_unusable_contents(tmp_path: Path, contents: bytes, message: str):
    path = tmp_path / "a.txt"
    path.write_bytes(contents)
    with pytest.raises(DataError, match=rf"a\.txt: {message}"):
        read_text(path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"a\nb\nab\xe9 \n", r"not UTF-8 \(byte 0xe9 at offset 6\)"),
        (codecs.BOM_UTF8 + b"a\nb\n\0", r"binary, not text \(NUL byte at offset 7\)"),
        ("a\nb\nc".encode("utf-16") + b"\0", r"not UTF-16 .* \(truncated data at offset 12\)"),
        ("a\nb".encode("utf-32") + b"\0\0\xff\0", r"not UTF-32 .* \(code point .* at offset 16\)"),
    ],
)
def test_errors_in_later_chunks_give_the_offset_in_the_file(
    tmp_path: Path, monkeypatch, contents: bytes, message: str
):
    monkeypatch.setattr(text_reading, "CHUNK_BYTES", 1)
    path = tmp_path / "a.txt"
    path.write_bytes(contents)
    chunks = read_chunks(path)
    assert next(chunks) == "a\n"
    with pytest.raises(DataError, match=rf"a\.txt: {message}"):
        list(chunks)


@pytest.mark.parametrize("mark", MARKED)
def test_line_starts_are_found_in_bytes_of_the_text(tmp_path: Path, monkeypatch, mark: str):
    monkeypatch.setattr(text_reading, "CHUNK_BYTES", 3)
    path = tmp_path / "a.txt"
    path.write_bytes(MARKED[mark])
    text = TEXT.encode()
    for limit in range(len(text) + 2):
        starts = [text.rfind(b"\n", 0, stop) + 1 for stop in (limit // 2, limit)]
        assert find_line_starts(path, [limit // 2, limit]) == starts


def test_the_error_for_jsonl_with_a_wrong_mark_names_the_line(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "a"}\n'.encode("utf-16") + b"x")
    with pytest.raises(DataError, match=r"a\.jsonl: cannot be read after line 1: .*utf-16"):
        list(read_jsonl(path, BadLines(skip=True)))


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_errors_name_damaged_archives_of_text(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(b"not compressed")
    with pytest.raises(DataError, match=rf"{name}: cannot be read: .+; check"):
        read_text(path)
