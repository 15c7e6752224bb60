"""Preparing a corpus takes memory that does not grow with the corpus."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from switchhead_lab.config.data import ByteTokenizer, TextData
from switchhead_lab.data import documents, text_reading
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.token_store import prepare, register

LINE = "The quick brown fox jumps over the lazy dog, é.\n"
PART = LINE * 200
"""About 10 kB."""


def write_file(folder: Path, n_parts: int) -> Path:
    path = folder / "corpus.txt"
    with path.open("w", encoding="utf-8") as file:
        file.writelines([PART] * n_parts)
    return path


def write_folder(folder: Path, n_parts: int) -> Path:
    """Write three files per split, so that only their lengths differ between corpora."""
    for split in SPLITS:
        (folder / split).mkdir()
        for number in range(3):
            path = folder / split / f"{number}.txt"
            path.write_text(PART * (n_parts // 9), encoding="utf-8")
    return folder


def write_lines(folder: Path, n_parts: int) -> Path:
    path = folder / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines([json.dumps({"text": PART}) + "\n"] * n_parts)
    return path


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, name in ((text_reading, "CHUNK_BYTES"), (documents, "BLOCK_CHARACTERS")):
        monkeypatch.setattr(module, name, 2**12)
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_bytes(data_dir: Path, source: Path) -> int:
    """Return the most memory held at once while a corpus is registered and prepared."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    register(data_dir, source, "mine")
    prepare(data_dir, TextData(corpus="mine", tokenizer=ByteTokenizer()))
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.parametrize("write", [write_file, write_folder, write_lines])
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, write):
    peaks = []
    for n_parts in (9, 9, 54):  # the first pays for imports and caches
        workspace = tmp_path / str(len(peaks))
        (workspace / "source").mkdir(parents=True)
        source = write(workspace / "source", n_parts)
        peaks.append(peak_bytes(workspace / "data", source))
    assert peaks[2] < peaks[1] + 2**16, peaks
