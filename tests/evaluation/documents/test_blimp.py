import hashlib
import json
import shutil
from pathlib import Path

import pytest

from switchhead_lab.config.zero_shot import BLIMP_SETS
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.blimp import read_blimp

SET = "adjunct_island"


def lines_of(name: str, n_lines: int = 1_000) -> list[str]:
    return [
        json.dumps({"sentence_good": f"It is {n}.", "sentence_bad": f"Is it {n}.", "UID": name})
        for n in range(n_lines)
    ]


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blimp")
    for name in BLIMP_SETS:
        (folder / f"{name}.jsonl").write_text("\n".join(lines_of(name)) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def damaged(complete: Path, tmp_path: Path) -> Path:
    """A complete folder, in which a test may replace files."""
    for path in complete.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / f"{SET}.jsonl").unlink()
    shutil.copy(complete / f"{SET}.jsonl", tmp_path)
    return tmp_path


@pytest.mark.parametrize("inner", [".", "data", "blimp", "blimp/data"])
def test_every_set_is_read_from_each_folder(complete: Path, tmp_path: Path, inner: str):
    place = tmp_path / "root" / inner
    place.parent.mkdir(parents=True, exist_ok=True)
    place.resolve().symlink_to(complete)
    tasks = read_blimp(tmp_path / "root")
    assert [task.name for task in tasks] == [f"blimp_{name}" for name in BLIMP_SETS]
    assert len(tasks) == 67
    assert {len(task.documents) for task in tasks} == {1_000}
    task = tasks[BLIMP_SETS.index(SET)]
    assert task.documents[7] == {
        "sentence_good": "It is 7.",
        "sentence_bad": "Is it 7.",
        "UID": SET,
    }
    contents = (complete / f"{SET}.jsonl").read_bytes()
    assert task.sha256 == hashlib.sha256(contents).hexdigest()
    assert task.source == str(tmp_path / "root" / inner / f"{SET}.jsonl")


def test_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere: no such folder; give .*BLiMP as --data-root"):
        read_blimp(tmp_path / "nowhere")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="file: not a folder; give"):
        read_blimp(tmp_path / "file")


def test_folder_without_any_file_lists_what_was_looked_for(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        read_blimp(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no file of BLiMP; looked for the 67 files adjunct_island.jsonl ... "
        "wh_vs_that_with_gap_long_distance.jsonl in the folder and in data, blimp, blimp/data; put "
        "the published files there or give another --data-root"
    )


def test_one_missing_file_is_named(damaged: Path):
    (damaged / f"{SET}.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"1 of the 67 files of BLiMP missing: adjunct_island\.jsonl; expected all"
    ):
        read_blimp(damaged)


@pytest.mark.parametrize("n_lines", [999, 1_001])
def test_wrong_number_of_lines_is_counted(damaged: Path, n_lines: int):
    text = "\n".join(lines_of(SET, n_lines)) + "\n"
    (damaged / f"{SET}.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(
        DataError, match=rf"adjunct_island\.jsonl: {n_lines} lines; expected 1000; fetch"
    ):
        read_blimp(damaged)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            lines_of(SET)[0][:30].encode(),
            r"not JSON \(Expecting .* at character 31\)",
        ),
        (b"", "empty"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a JSON list"),
        (
            b'{"sentence_bad": "a", "UID": "adjunct_island"}',
            r'no field "sentence_good" \(fields: sen',
        ),
        (b'{"sentence_good": 3, "sentence_bad": "a", "UID": "b"}', 'field "sentence_good" is a in'),
        (b'{"sentence_good": "", "sentence_bad": "a", "UID": "b"}', '"sentence_good" is empty'),
        (b'{"sentence_good": "\\ud800", "sentence_bad": "a", "UID": "b"}', "surrogate pair"),
        (b'{"sentence_good": "a", "sentence_bad": "b", "UID": "causative"}', 'UID is "causative"'),
        (b'{"sentence_good": "caf\xe9"}', "byte [0-9]+ of the file is not UTF-8"),
    ],
)
def test_bad_lines_are_named(damaged: Path, line: bytes, message: str):
    lines = [text.encode() for text in lines_of(SET)]
    lines[4] = line
    (damaged / f"{SET}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(
        DataError, match=rf"adjunct_island\.jsonl: line 5: .*{message}.*; expected .*; "
    ):
        read_blimp(damaged)


def test_empty_file_is_named(damaged: Path):
    (damaged / f"{SET}.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match=r"adjunct_island\.jsonl: empty; fetch"):
        read_blimp(damaged)
