"""`lab data listops` from the command line."""

import json
import re
from pathlib import Path

import command_line
import pytest

from switchhead_lab.config.data import ListOpsData
from switchhead_lab.data.example_store import find_examples
from switchhead_lab.data.listops import render

SMALL = ("--n-train", "300", "--max-depth", "2", "--max-length", "12", "--operators", "SM,MIN")


def lab(*arguments: str, cwd: Path, code: int = 0) -> command_line.Done:
    return command_line.lab("data", *arguments, cwd=cwd, code=code)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    return tmp_path


def test_help_has_an_example_and_the_defaults_of_the_configuration():
    from typer.testing import CliRunner

    from switchhead_lab.cli.app import app

    done = CliRunner().invoke(app, ["data", "listops", "--help"], env={"COLUMNS": "200"})
    assert "Example: lab data listops" in done.output
    data = ListOpsData(kind="listops")
    for option in ("n_train", "max_depth", "max_length", "operators", "seed"):
        value = getattr(data, option)
        default = ",".join(value) if isinstance(value, list) else str(value)
        flag = f"--{option.replace('_', '-')} "
        rows = [row.strip("│ ") for row in done.output.splitlines()]
        assert [row for row in rows if row.startswith(flag) and row.endswith(f" {default}.")]


def test_examples_are_generated_once_shown_and_listed(root: Path):
    first = lab("listops", *SMALL, "--show", "3", cwd=root).stdout
    data = ListOpsData(
        kind="listops", n_train=300, max_depth=2, max_length=12, operators=["SM", "MIN"]
    )
    store = find_examples(root / "data", data)
    assert f"\nprepared: {store.path}\n" in first
    train = store.examples("train")
    for row in range(3):
        text = render(train.tokens[row], data.operators)
        assert f"  {train.labels[row]} = {text}\n" in first
    assert first.count(" = [") == 3
    part = store.manifest.splits["validation"]
    assert f"  validation: 1,000 examples, {part.mean_length:.1f} tokens on average; " in first
    assert f"always guessing {store.manifest.majority_class} is right for " in first
    assert f" {part.majority_fraction:.1%}\n" in first
    second = lab("listops", *SMALL, cwd=root).stdout
    assert second.startswith(f"already prepared: {store.path}\n")
    assert " = [" not in second
    listed = json.loads(lab("list", "--json", cwd=root).stdout)[-1]
    assert (listed["corpus"], listed["documents"]) == ("listops", 2300)
    assert re.search(r"listops +- +2,300 +- ", lab("list", cwd=root).stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--operators", "MIN,ADD"], "operators.1 = 'ADD': input should be 'MIN', 'MAX', 'MED'"),
        (["--max-length", "9"], "max_depth=5 needs 16 tokens but max_length=9"),
        (["--max-depth", "1", "--max-length", "4"], "only 400 were found"),
        (["--n-train", "5", "--show", "6"], "--show 6 but n_train=5"),
    ],
)
def test_user_errors_are_explained(root: Path, arguments: list[str], message: str):
    done = lab("listops", *arguments, cwd=root, code=2)
    assert message in done.stderr
    assert not list(root.glob("data/listops/*/manifest.json"))
