import json
import os
from pathlib import Path

import pytest

from switchhead_lab.config.data import ByteTokenizer, TextData
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import read_local
from switchhead_lab.data.source_files import list_folder
from switchhead_lab.data.token_store import find_store, prepare, register
from switchhead_lab.errors import DataError


def write_jsonl(path: Path, n_lines: int = 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": f"text {number:03} of {path.stem}"}) for number in range(n_lines))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def texts_of(corpus) -> set[str]:
    return {"".join(d.blocks()) for split in SPLITS for d in corpus.splits[split]}


@pytest.mark.parametrize("name", ["many.JSONL", "x.ndjson", "x.jl", "x.Json", "x.NDJSON"])
def test_every_jsonl_suffix_is_recognised_in_any_case(tmp_path: Path, name: str):
    path = write_jsonl(tmp_path / name)
    for source in (path, tmp_path):
        texts = texts_of(read_local("mine", source, BadLines()))
        assert texts == {f"text {number:03} of {path.stem}" for number in range(60)}


def test_documentation_beside_jsonl_is_ignored_with_a_warning(
    tmp_path: Path, data_dir: Path, capsys
):
    folder = tmp_path / "mine"
    write_jsonl(folder / "data.jsonl", n_lines=100)
    for name in ("README.md", "LICENSE.md", "._data.jsonl", "plot.png"):
        (folder / name).write_bytes(b"\0")
    (folder / ".git").mkdir()
    register(data_dir, folder, "mine")
    store = prepare(data_dir, TextData(corpus="mine", tokenizer=ByteTokenizer()))
    assert sum(part.n_documents for part in store.manifest.splits.values()) == 100
    errors = capsys.readouterr().err
    for warning in store.manifest.warnings:
        assert f'warning: corpus "mine": {warning}\n' in errors
    ignored = [warning for warning in store.manifest.warnings if warning.startswith("ignored")]
    assert ignored == [
        "ignored (hidden): ._data.jsonl, .git/",
        "ignored (unsupported suffix; supported: .txt, .md, .text, .jsonl, .ndjson, .jl, .json, "
        "each also .gz or .zst): plot.png",
        "ignored (text beside JSONL): LICENSE.md, README.md",
    ]


def test_manifests_without_warnings_stay_readable(tmp_path: Path, data_dir: Path):
    data = TextData(corpus="mine", tokenizer=ByteTokenizer())
    register(data_dir, write_jsonl(tmp_path / "a.jsonl"), "mine")
    store = prepare(data_dir, data)
    path = store.path / "manifest.json"
    values = json.loads(path.read_bytes())
    assert values.pop("warnings")
    path.write_text(json.dumps(values), encoding="utf-8")
    assert find_store(data_dir, data).digest == store.digest


def test_texts_and_jsonl_in_one_folder_are_rejected(folder: Path):
    write_jsonl(folder / "data.jsonl")
    with pytest.raises(
        DataError,
        match=r"letters: holds both JSONL \(data\.jsonl\) and texts \(deep/letter\.md, "
        r".* and 8 more\); prepare them as two corpora",
    ):
        read_local("letters", folder, BadLines())


def test_json_beside_texts_is_ignored_with_a_remark(folder: Path):
    (folder / "metadata.json").write_text("{}", encoding="utf-8")
    corpus = read_local("letters", folder, BadLines())
    assert corpus.n_documents == 12
    assert corpus.remarks == ["ignored (JSON beside texts): metadata.json"]


def test_lines_of_several_files_are_divided_together(tmp_path: Path):
    write_jsonl(tmp_path / "a.jsonl", n_lines=40)
    write_jsonl(tmp_path / "more" / "a.jsonl", n_lines=50)
    corpus = read_local("mine", tmp_path, BadLines())
    ids = [document.id for split in SPLITS for document in corpus.splits[split]]
    assert len(set(ids)) == 90
    assert "more/a.jsonl:50" in ids


def test_files_beside_a_jsonl_split_are_in_the_remarks(tmp_path: Path):
    for name in ("Train.jsonl", "VALID.jsonl", "test.ndjson", "extra.jsonl", "notes.txt"):
        write_jsonl(tmp_path / name, n_lines=2)
    corpus = read_local("mine", tmp_path, BadLines())
    assert [len(list(corpus.splits[split])) for split in SPLITS] == [2, 2, 2]
    [remark] = corpus.remarks
    assert remark.endswith("split): extra.jsonl, notes.txt")


def test_a_jsonl_split_in_a_subfolder_is_rejected(tmp_path: Path):
    for name in ("train-0.jsonl", "validation-0.jsonl", "test-0.jsonl"):
        write_jsonl(tmp_path / "data" / name)
    with pytest.raises(DataError, match=r"data/test-0\.jsonl is named after a split.*give .*/data"):
        read_local("mine", tmp_path, BadLines())


def test_file_links_are_followed_folder_links_ignored_and_dangling_links_rejected(
    folder: Path, tmp_path: Path
):
    (tmp_path / "elsewhere.txt").write_text("Elsewhere.\n", encoding="utf-8")
    (folder / "linked.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "round").symlink_to(folder)
    corpus = read_local("letters", folder, BadLines())
    assert corpus.n_documents == 13
    assert corpus.remarks == ["ignored (a link to a folder): round/"]
    (tmp_path / "elsewhere.txt").unlink()
    with pytest.raises(DataError, match=r"linked\.txt: a dangling link"):
        read_local("letters", folder, BadLines())


def test_special_files_are_ignored_or_rejected(folder: Path, tmp_path: Path):
    os.mkfifo(folder / "pipe.txt")
    corpus = read_local("letters", folder, BadLines())
    assert corpus.remarks == ["ignored (not a regular file): pipe.txt"]
    with pytest.raises(DataError, match=r"pipe\.txt: not a regular file"):
        read_local("letters", folder / "pipe.txt", BadLines())


def test_a_folder_that_cannot_be_listed_is_an_error(folder: Path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"letters/deep: cannot be read: Permission denied; check"):
        list_folder(folder)


def test_the_error_for_a_folder_without_text_names_its_files(tmp_path: Path):
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match=r"and no JSONL; .*; found paper\.pdf"):
        read_local("mine", tmp_path, BadLines())
