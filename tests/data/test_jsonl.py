import gzip
import json
from pathlib import Path

import pyarrow
import pytest

from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.jsonl import BadLines, read_jsonl, read_jsonl_file, read_jsonl_folder
from switchhead_lab.data.published import read_local
from switchhead_lab.data.source_files import list_folder
from switchhead_lab.data.token_store import prepare, register
from switchhead_lab.errors import DataError


def texts_of(corpus) -> dict[str, list[str]]:
    return {split: [document.text for document in corpus.splits[split]] for split in SPLITS}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz", "a.json.zst"])
def test_every_compression_is_read_line_by_line(tmp_path: Path, name: str):
    texts = ["one\ntwo", "\u2028 é \N{GRINNING FACE}", ""]
    lines = "\n".join(json.dumps({"id": 1, "text": t}, ensure_ascii=False) for t in texts)
    path = tmp_path / name
    contents = f"{lines}\n\n".encode()
    if name.endswith(".gz"):
        contents = gzip.compress(contents[:10]) + gzip.compress(contents[10:])
    if name.endswith(".zst"):
        contents = pyarrow.Codec("zstd").compress(contents, asbytes=True)
    path.write_bytes(contents)
    documents = list(read_jsonl(path, BadLines()))
    assert [document.text for document in documents] == texts
    assert [document.id for document in documents] == [f"{name}:{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{'text': 1}", r"not JSON \(Expecting property name .* at character 2\)"),
        (b"[1]", "not a JSON object with a field 'text', but a list"),
        (b'{"body": "a", "id": 2}', r"no field 'text' \(fields: body, id\)"),
        (b'{"text": null}', "field 'text' is null, not a string"),
        (b'{"text": 3.5}', "field 'text' is a number, not a string"),
        (b'{"text": "a\\ud800"}', "field 'text' holds half of a surrogate pair at character 2"),
        (b'{"text": "caf\xe9"}', r"not UTF-8 \(byte 14 of the line\)"),
        (b"[" * 100_000, "not usable JSON"),
    ],
)
def test_bad_lines_are_named_or_skipped(write_shards, tmp_path: Path, line: bytes, message: str):
    folder = write_shards(tmp_path, train=["good", line, "also good", line])
    path = folder / "train-00000-of-00001.json.gz"
    with pytest.raises(DataError, match=rf"of-00001\.json\.gz: line 2: {message}.*--skip-bad-lin"):
        list(read_jsonl(path, BadLines()))
    bad_lines = BadLines(skip=True)
    for _ in range(2):
        assert [d.text for d in read_jsonl(path, bad_lines)] == ["good", "also good"]
    assert bad_lines.counts == {path.name: 2}


@pytest.mark.parametrize("name", ["a.json.gz", "a.json.zst"])
@pytest.mark.parametrize("damage", ["cut", "not compressed"])
def test_damaged_archives_are_never_skipped(tmp_path: Path, name: str, damage: str):
    lines = b'{"text": "a"}\n' * 10
    whole = gzip.compress(lines) if name.endswith("gz") else pyarrow.compress(lines, "zstd")
    path = tmp_path / name
    path.write_bytes(bytes(whole)[:-6] if damage == "cut" else lines)
    with pytest.raises(DataError, match=rf"{name}: cannot be read after line \d+: .+; get the"):
        list(read_jsonl(path, BadLines(skip=True)))


def test_single_file_is_divided_by_whole_documents(tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {n:03}"}) + "\n" for n in range(100)))
    corpus = read_local("mine", path, BadLines())
    texts = texts_of(corpus)
    assert [len(texts[split]) for split in SPLITS] == [90, 5, 5]
    assert sorted(text for part in texts.values() for text in part) == [
        f"text {n:03}" for n in range(100)
    ]
    assert texts["train"] == sorted(texts["train"])
    assert texts_of(read_local("mine", path, BadLines())) == texts
    assert corpus.n_documents is None
    path.write_text('{"text": "a"}\n' * 2)
    with pytest.raises(DataError, match=r"mine\.jsonl: 2 documents.*at least 3"):
        read_jsonl_file("mine", path, BadLines())


def test_folder_keeps_its_own_split_in_order_of_file_name(write_shards, tmp_path: Path):
    write_shards(tmp_path, train=["a"], val=["b"], test=["c"])
    (tmp_path / "train-00001.jsonl").write_text('{"text": "a2"}\n', encoding="utf-8")
    (tmp_path / "README.md").write_text("About.\n", encoding="utf-8")
    corpus = read_local("mine", tmp_path, BadLines())
    assert texts_of(corpus) == {"train": ["a", "a2"], "validation": ["b"], "test": ["c"]}
    (tmp_path / "train-00001.jsonl").write_text('{"text": "a3"}\n', encoding="utf-8")
    assert read_local("mine", tmp_path, BadLines()).source_sha256 != corpus.source_sha256


def test_missing_split_says_what_was_found_and_expected(write_shards, tmp_path: Path):
    folder = write_shards(tmp_path / "mine", train=["a"], validation=["b"])
    with pytest.raises(DataError) as caught:
        read_jsonl_folder("mine", list_folder(folder), BadLines())
    assert str(caught.value) == (
        f"{folder}: no file for the test split; found train-00000-of-00001.json.gz, "
        "validation-00000-of-00001.json.gz, expected test*.json.gz, .json, .jsonl or .zst"
    )


def test_folder_of_texts_with_json_is_read_as_texts(folder: Path):
    (folder / "metadata.json").write_text("{}", encoding="utf-8")
    assert read_local("letters", folder, BadLines()).n_documents == 12


def test_manifest_records_skipped_lines(write_shards, data_dir: Path, tmp_path: Path):
    from switchhead_lab.config.data import ByteTokenizer, TextData

    folder = write_shards(tmp_path / "mine", train=["a", b"x"], validation=["b"], test=[b"y", "c"])
    register(data_dir, folder, "mine", skip_bad_lines=True)
    store = prepare(data_dir, TextData(corpus="mine", tokenizer=ByteTokenizer()))
    assert store.manifest.skipped_lines == {
        "test-00000-of-00001.json.gz": 1,
        "train-00000-of-00001.json.gz": 1,
    }


def test_split_of_bad_lines_only_is_an_error(write_shards, data_dir: Path, tmp_path: Path):
    from switchhead_lab.config.data import ByteTokenizer, TextData

    folder = write_shards(tmp_path / "mine", train=["a"], validation=[b"x"], test=["c"])
    register(data_dir, folder, "mine", skip_bad_lines=True)
    with pytest.raises(
        DataError, match=r'"mine": .*validation.*\.json\.gz: the validation split.* no doc'
    ):
        prepare(data_dir, TextData(corpus="mine", tokenizer=ByteTokenizer()))
