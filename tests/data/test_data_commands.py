import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.data import app
from switchhead_lab.data.published import PUBLISHED
from switchhead_lab.errors import ConfigError, DataError, LabError


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `lab data ...` in its own workspace; user errors are raised."""
    (tmp_path / "lab.toml").write_text('default_corpus = "notes"\n', encoding="utf-8")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        if isinstance(result.exception, LabError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.mark.parametrize("command", ["prepare", "list"])
def test_help_ends_with_an_example(lab, command: str):
    assert f"Example: lab data {command}" in lab(command, "--help")


def test_prepare_reports_counts_and_existing_stores(lab, text_file: Path, data_dir: Path):
    arguments = ("prepare", str(text_file), "--name", "notes", "--tokenizer", "byte")
    first, second = lab(*arguments), lab(*arguments)
    place = text_file.parent / "data" / "notes" / "byte"
    assert f"\nprepared: {place}\n" in first
    assert second.startswith(f"already prepared: {place}\n")
    assert f"{text_file.stat().st_size:,}" not in second
    assert "  train: 1 documents, " in second
    assert lab("prepare", "--tokenizer", "char", "--vocab-size", "50").count("char-50") == 2


def test_list_shows_prepared_and_registered_corpora(lab, text_file: Path):
    lab("prepare", str(text_file), "--name", "notes", "--tokenizer", "byte")
    rows = json.loads(lab("list", "--json"))
    assert [(row["corpus"], row["tokenizer"]) for row in rows] == [
        ("sotu", None),
        *((name, None) for name in PUBLISHED),
        ("notes", "byte"),
    ]
    table = lab("list")
    assert "notes" in table
    assert "unigram" in table


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["PATH"], ConfigError, "add --name NAME"),
        (["--skip-bad-lines"], ConfigError, "--skip-bad-lines without PATH has no effect"),
        (["PATH", "--name", "notes", "--skip-bad-lines"], DataError, "no JSONL files, so"),
        (["--replace"], ConfigError, "--replace without PATH has no effect"),
        (["--name", "absent"], DataError, 'no corpus "absent"'),
        (["PATH", "--name", "notes", "--tokenizer", "bpe"], ConfigError, "bpe"),
        (
            ["PATH", "--name", "notes", "--tokenizer", "byte", "--vocab-size", "9"],
            ConfigError,
            "vocab_size",
        ),
    ],
)
def test_user_errors_are_explained(lab, text_file: Path, arguments, error, message):
    given = [str(text_file) if argument == "PATH" else argument for argument in arguments]
    with pytest.raises(error, match=message):
        lab("prepare", *given)
    assert not (text_file.parent / "data").exists()


def test_bad_lines_are_an_error_or_skipped_and_reported(lab, write_shards, tmp_path: Path):
    folder = write_shards(tmp_path / "mine", train=["a b\n" * 9, b"{", "c d\n"], test=["e"])
    arguments = ("prepare", str(folder), "--name", "mine", "--tokenizer", "byte")
    with pytest.raises(DataError, match="no file for the validation split"):
        lab(*arguments)
    write_shards(folder, validation=["f"])
    with pytest.raises(DataError, match=r"train-00000-of-00001\.json\.gz: line 2: not JSON"):
        lab(*arguments)
    output = lab(*arguments, "--skip-bad-lines")
    assert "  train: 2 documents, 40 bytes, 42 tokens\n" in output
    assert "  skipped in train-00000-of-00001.json.gz: 1 bad lines\n" in output
    with pytest.raises(DataError, match="line 2: not JSON"):
        lab(*arguments)


def test_a_fixed_file_needs_no_replace_before_preparation(lab, write_shards, tmp_path: Path):
    parts = {"validation": ["f"], "test": ["e"]}
    arguments = ("prepare", str(tmp_path / "mine"), "--name", "mine", "--tokenizer", "byte")
    write_shards(tmp_path / "mine", train=[b"{"], **parts)
    with pytest.raises(DataError, match="line 1"):
        lab(*arguments)
    write_shards(tmp_path / "mine", train=["fixed"], **parts)
    assert "  train: 1 documents, 5 bytes, 6 tokens\n" in lab(*arguments)


def test_the_limit_is_in_the_name_of_the_store(lab, text_file: Path):
    arguments = ("prepare", str(text_file), "--name", "notes", "--tokenizer", "byte")
    output = lab(*arguments, "--max-train-tokens", "100")
    assert "/notes/byte-first-100\n" in output
    assert "  train: 1 documents, 99 bytes, 100 tokens\n" in output
    assert "already prepared" not in lab(*arguments)
