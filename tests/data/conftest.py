"""Small test corpora: a folder of documents and a text file, with skewed word frequencies."""

import gzip
import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest


def make_text(seed: int, n_lines: int) -> str:
    generator = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 3))) for _ in range(60)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    lines = (" ".join(generator.choices(words, weights, k=9)) for _ in range(n_lines))
    return "".join(f"{line.capitalize()}.\n" for line in lines)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve documents of equal length, one of them in a subfolder."""
    path = tmp_path / "letters"
    (path / "deep").mkdir(parents=True)
    for number in range(11):
        (path / f"letter-{number:02}.txt").write_text(make_text(number, 20), encoding="utf-8")
    (path / "deep" / "letter.md").write_text(make_text(11, 20), encoding="utf-8")
    return path


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text(make_text(99, 400), encoding="utf-8")
    return path


@pytest.fixture
def long_text() -> str:
    """450 kB of words that are not in the documents, so that segmentations have close scores."""
    return "".join(make_text(seed, 200) for seed in range(100, 150))


def _write_shards(folder: Path, *, prefix: str = "", **splits: list[str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, documents in splits.items():
        with gzip.open(folder / f"{prefix}{split}-00000-of-00001.json.gz", "wb") as file:
            for text in documents:
                is_raw = isinstance(text, bytes)
                file.write((text if is_raw else json.dumps({"text": text}).encode()) + b"\n")
    return folder


@pytest.fixture
def write_shards() -> Callable[..., Path]:
    """Write one gzipped JSONL shard per split: texts as documents, bytes as lines verbatim."""
    return _write_shards


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Fail every DNS lookup, and return the list of attempts."""
    tried: list[tuple[object, ...]] = []

    def refuse(*arguments: object, **_options: object) -> None:
        tried.append(arguments)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried
