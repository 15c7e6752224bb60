import hashlib
import json
from pathlib import Path

import pytest

from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.lambada import N_PASSAGES, read_lambada

TEXTS = [f'"Where?" she asked.\nHe showed her door {n}' for n in range(N_PASSAGES)]


def write(path: Path, lines: list[str]) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.read_bytes()


def as_json(texts: list[str]) -> list[str]:
    return [json.dumps({"text": text}) for text in texts]


@pytest.mark.parametrize("place", ["lambada_test.jsonl", "lambada/lambada_test_en.jsonl"])
def test_passages_keep_their_case_and_lines(tmp_path: Path, place: str):
    contents = write(tmp_path / place, as_json(TEXTS))
    task = read_lambada(tmp_path)
    assert task.name == "lambada_openai"
    assert [document["text"] for document in task.documents] == TEXTS
    assert task.sha256 == hashlib.sha256(contents).hexdigest()
    assert task.source == str(tmp_path / place)


@pytest.mark.parametrize("suffix", ["jsonl", "txt"])
def test_first_published_form_is_another_task(tmp_path: Path, suffix: str):
    texts = [f"he showed her door {n}" for n in range(N_PASSAGES)]
    lines = [f" {text} " for text in texts]
    name = f"lambada_test_plain_text.{suffix}"
    write(tmp_path / name, as_json(lines) if suffix == "jsonl" else lines)
    task = read_lambada(tmp_path, "lambada_standard")
    assert task.name == "lambada_standard"
    assert [document["text"] for document in task.documents] == texts
    with pytest.raises(
        DataError,
        match=r"no file of lambada_openai; looked for lambada_test\.jsonl or lambada_test_en\.jsonl"
        r" in the folder and in lambada, data, lambada/data; put",
    ):
        read_lambada(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "one two', "not JSON"),
        ('{"passage": "one two"}', r'no field "text" \(fields: passage\)'),
        ('{"text": "one"}', "one word; expected a passage and, after a space, its last word"),
    ],
)
def test_bad_passages_are_named(tmp_path: Path, line: str, message: str):
    write(tmp_path / "lambada_test.jsonl", [*as_json(TEXTS[:-1]), line])
    with pytest.raises(DataError, match=rf"lambada_test\.jsonl: line 5153: {message}"):
        read_lambada(tmp_path)


def test_blank_plain_passage_is_named(tmp_path: Path):
    write(tmp_path / "lambada_test_plain_text.txt", ["a b", " ", *["c d"] * (N_PASSAGES - 2)])
    with pytest.raises(DataError, match="line 2: empty; expected a passage"):
        read_lambada(tmp_path, "lambada_standard")


def test_incomplete_test_set_is_refused(tmp_path: Path):
    write(tmp_path / "lambada_test.jsonl", as_json(TEXTS[:-1]))
    with pytest.raises(DataError, match="5152 lines; expected 5153; fetch the published file"):
        read_lambada(tmp_path)
