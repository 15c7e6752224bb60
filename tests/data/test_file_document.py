import codecs
import gzip
import hashlib
import os
from pathlib import Path

import pyarrow
import pytest

from switchhead_lab.data import text_reading
from switchhead_lab.data.documents import Document
from switchhead_lab.data.file_document import scan_document
from switchhead_lab.errors import DataError

LINES = ["one é\r\n", "two\u2028\N{GRINNING FACE}\n", "\n", " three " * 9 + "\n", "last"]
TEXT = "".join(LINES)
CONTENTS = {
    "a.txt": TEXT.encode(),
    "marked.txt": codecs.BOM_UTF8 + TEXT.encode(),
    "wide.txt": TEXT.encode("utf-16"),
    "a.txt.gz": gzip.compress(TEXT.encode()),
    "a.txt.zst": pyarrow.Codec("zstd").compress(TEXT.encode("utf-32"), asbytes=True),
}


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reading, "CHUNK_BYTES", 1)


def write(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    return path


def change(path: Path) -> None:
    """Change a file and its modification time, but not its length."""
    path.write_bytes(path.read_bytes().replace(b"last", b"LAST"))
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_is_described_as_its_text_in_memory_is(tmp_path: Path, name: str):
    found = scan_document("a", write(tmp_path / name, CONTENTS[name]))
    document = Document("a", TEXT)
    assert (found.id, found.n_bytes, found.sha256) == ("a", document.n_bytes, document.sha256)
    assert not found.is_blank
    blocks = list(found.blocks())
    assert "".join(blocks) == TEXT
    assert all(block.endswith("\n") for block in blocks[:-1])
    assert len(blocks) > 2


@pytest.mark.parametrize("name", CONTENTS)
def test_a_part_holds_its_lines_only(tmp_path: Path, name: str):
    whole = scan_document("a", write(tmp_path / name, CONTENTS[name]))
    starts = [len("".join(LINES[:number]).encode()) for number in range(len(LINES) + 1)]
    for first in range(len(LINES)):
        for last in range(first, len(LINES)):
            part = whole.part("b", starts[first], starts[last + 1])
            text = "".join(LINES[first : last + 1])
            assert "".join(part.blocks()) == text
            assert (part.id, part.n_bytes) == ("b", len(text.encode()))
            assert part.sha256 == hashlib.sha256(text.encode()).hexdigest()
            assert part.is_blank == (not text.strip())


def test_a_file_that_changes_between_reads_is_rejected(tmp_path: Path):
    path = write(tmp_path / "a.txt", CONTENTS["a.txt"])
    document = scan_document("a", path)
    change(path)
    with pytest.raises(DataError, match=r"a\.txt: changed while it was being read; run the"):
        next(document.blocks())
    with pytest.raises(DataError, match=r"a\.txt: changed while it was being read"):
        document.part("b", 0, 9)


def test_a_file_that_changes_while_it_is_read_is_rejected(tmp_path: Path):
    path = write(tmp_path / "a.txt", CONTENTS["a.txt"])
    blocks = scan_document("a", path).blocks()
    next(blocks)
    change(path)
    with pytest.raises(DataError, match=r"a\.txt: changed while it was being read"):
        list(blocks)
