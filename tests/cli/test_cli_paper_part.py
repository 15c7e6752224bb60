"""`lab report table2`: what users see."""

import json
from pathlib import Path

import pytest
from command_line import lab
from shipped_sweeps import SWEEPS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = f'sweeps_dir = "{SWEEPS}"\ntracking_uri = "none"\n'
    (tmp_path / "lab.toml").write_text(settings, encoding="utf-8")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["table2", "table5", "table9"])
def test_a_table_fits_80_columns_and_names_its_files(home: Path, name: str) -> None:
    lines = lab("report", name, cwd=home).stdout.splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("written to"))
    assert max(len(line) for line in lines[:end]) <= 80
    assert "  provenance.json" in lines[end:]


def test_json_has_every_row(home: Path) -> None:
    data = json.loads(lab("report", "table2", "--json", cwd=home).stdout)
    assert (data["table"], data["size"], len(data["rows"])) == (2, "pocket", 21)
    both = json.loads(lab("report", "table6", "table9", "--json", cwd=home).stdout)
    assert [one["table"] for one in both] == [6, 9]


def test_strict_fails_if_a_row_is_missing(home: Path) -> None:
    done = lab("report", "table2", "--strict", cwd=home, code=2)
    assert "INCOMPLETE: c4 47M: no result for switchhead, 2 heads" in done.stderr
    assert (home / "reports" / "paper" / "table2-pocket" / "report.md").is_file()
    lab("report", "table9", "--strict", cwd=home)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table12"], "the paper has no table 12"),
        (["table2", "matched-params"], "matched-params and tables or figures of the paper"),
        (["table2", "--axis", "model-macs"], "--axis: reports on the paper's tables"),
        (["table2", "--size", "huge"], "no sweep of Table 2 has this size"),
        (["figure1"], "figure1 cannot be drawn"),
        (["figure2"], "run `lab sweep paper/section4-listops` first"),
    ],
)
def test_bad_input_gives_one_clear_error(home: Path, arguments: list[str], message: str) -> None:
    done = lab("report", *arguments, cwd=home, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
