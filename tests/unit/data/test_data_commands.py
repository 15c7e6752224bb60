import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.data import app
from switchhead_lab.errors import ConfigError, DataError, LabError


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `lab data ...` in a workspace of its own; a user's mistake is raised."""
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


def test_prepare_tells_counts_and_whether_it_was_done_before(lab, text_file: Path, data_dir: Path):
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
        ("notes", "byte"),
    ]
    table = lab("list")
    assert "notes" in table
    assert "unigram" in table


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["PATH"], ConfigError, "add --name NAME"),
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
def test_mistakes_are_explained(lab, text_file: Path, arguments, error, message):
    given = [str(text_file) if argument == "PATH" else argument for argument in arguments]
    with pytest.raises(error, match=message):
        lab("prepare", *given)
    assert not (text_file.parent / "data").exists()
