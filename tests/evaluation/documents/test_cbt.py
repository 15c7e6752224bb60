import hashlib
from pathlib import Path

import pytest

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.cbt import BLANK, N_EXAMPLES, read_cbt

CANDIDATES = [f"word{n}" for n in range(10)]
QUERY = f"21 It was the {BLANK} .\tword3\t\t" + "|".join(CANDIDATES)
CONTEXT = [f"{n} Sentence {n} , he said ." for n in range(1, 21)]
EXAMPLE = [*CONTEXT, QUERY, ""]


def write(folder: Path, lines: list[str], name: str = "cbtest_CN_test_2500ex.txt") -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "file"),
    [("cbt_cn", "cbtest_CN_test_2500ex.txt"), ("cbt_ne", "cbtest_NE_test_2500ex.txt")],
)
def test_examples_are_read(tmp_path: Path, name, file: str):
    contents = write(tmp_path / "CBTest" / "data", EXAMPLE * N_EXAMPLES, file)
    task = read_cbt(tmp_path, name)
    assert (task.name, len(task.documents)) == (name, 2_500)
    assert task.documents[-1] == {
        "context": " ".join(f"Sentence {n} , he said ." for n in range(1, 21)),
        "query": f"It was the {BLANK} .",
        "candidates": CANDIDATES,
        "answer": 3,
    }
    assert task.sha256 == hashlib.sha256(contents).hexdigest()
    assert task.source == str(tmp_path / "CBTest" / "data" / file)


def test_missing_file_lists_what_was_looked_for(tmp_path: Path):
    with pytest.raises(
        DataError,
        match=r"no file of cbt_ne; looked for cbtest_NE_test_2500ex\.txt in the folder and",
    ):
        read_cbt(tmp_path, "cbt_ne")


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (4, "5 A sentence", 'line 4: starts with "5"; expected "4 " and sentence 4'),
        (4, "", 'line 4: blank; expected "4 " and sentence 4'),
        (21, "22 x", 'line 21: starts with "22"; expected "21 " and sentence 21'),
        (21, f"21 It was {BLANK} .", "line 21: 0 tabs; expected the query, a tab, the answer, two"),
        (21, QUERY.replace("|word9", ""), "line 21: 9 candidates; expected 10 candidates"),
        (21, QUERY + "|word10", "line 21: 11 candidates; expected 10 candidates"),
        (21, QUERY.replace("\tword3", "\tword"), 'line 21: the answer "word" is not a candidate'),
        (21, QUERY.replace(BLANK, "end"), f"line 21: no {BLANK} in the query; expected {BLANK}"),
    ],
)
def test_bad_lines_of_examples_are_named(tmp_path: Path, number: int, line: str, message: str):
    lines = EXAMPLE * N_EXAMPLES
    lines[number - 1] = line
    write(tmp_path, lines)
    with pytest.raises(DataError, match=rf"cbtest_CN_test_2500ex\.txt: {message}"):
        read_cbt(tmp_path, "cbt_cn")


def test_truncated_file_is_refused(tmp_path: Path):
    write(tmp_path, [*EXAMPLE, *CONTEXT])
    with pytest.raises(DataError, match="line 42: the file ends after sentence 20 of an example"):
        read_cbt(tmp_path, "cbt_cn")
    write(tmp_path, EXAMPLE * 2)
    with pytest.raises(DataError, match="2 examples; expected 2500; fetch the published file"):
        read_cbt(tmp_path, "cbt_cn")


def test_file_in_another_encoding_is_refused(tmp_path: Path):
    (tmp_path / "cbtest_CN_test_2500ex.txt").write_bytes("1 café".encode("latin-1"))
    with pytest.raises(DataError, match="line 1: byte 6 of the file is not UTF-8"):
        read_cbt(tmp_path, "cbt_cn")
