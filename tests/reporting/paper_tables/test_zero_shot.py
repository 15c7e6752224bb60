"""Zero-shot accuracies in reports, from records of `lab eval`."""

import csv
import shutil
from pathlib import Path

import pytest
from zero_shot_results import write_accuracy

from switchhead_lab.config.zero_shot import LAST_WORD, MINIMAL_PAIRS, POCKET_CLOZE, tasks_named
from switchhead_lab.reporting.paper_tables.paper_report import write_paper_table
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.zero_shot import score_cell, zero_shot_grid


def run_dirs(data, name: str) -> list[Path]:
    (row,) = (row for row in data.models if row.name == name)
    return [run.run.directory for run in row.finished]


def test_accuracies_by_model_are_means_over_seeds(complete) -> None:
    data = read_report_data(complete.write(), complete.runs_dir)
    assert zero_shot_grid(data) is None
    dense, switchhead = run_dirs(data, "dense"), run_dirs(data, "switchhead-declared")
    for number, folder in enumerate(dense):
        write_accuracy(folder, "blimp_transitive", 0.5 + 0.01 * number)
        write_accuracy(folder, "blimp_wh_island", 0.6)
    write_accuracy(switchhead[0], "pocket_last_word", 0.25)
    grid = zero_shot_grid(data)
    assert [column.key for column in grid.columns] == [
        *("model", "n_seeds", "blimp", "pocket_last_word"),
    ]
    by_name = {row[0].value: row for row in grid.rows}
    blimp = grid.cell(by_name["dense"], "blimp")
    n = len(dense)
    assert blimp.value == pytest.approx(55.0 + 0.5 * (n - 1) / 2)
    assert blimp.std > 0.0
    assert grid.cell(by_name["dense"], "pocket_last_word").value is None
    assert grid.cell(by_name["switchhead-declared"], "pocket_last_word").value == 25.0


def test_reports_and_page_have_the_table(complete) -> None:
    record = complete.write()
    data = read_report_data(record, complete.runs_dir)
    for folder in run_dirs(data, "dense"):
        write_accuracy(folder, "pocket_last_word", 0.125)
    reports_dir = complete.runs_dir.parent / "reports"
    report = write_report(Selection(record, ()), complete.runs_dir, reports_dir)
    assert {"zero-shot.md", "zero-shot.csv"} <= {*report.files}
    text = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "## Zero-shot tasks" in text
    assert "12.50 ± 0" in text
    shutil.rmtree(run_dirs(data, "dense")[0] / "evaluation")
    again = write_report(Selection(record, ()), complete.runs_dir, reports_dir)
    table = (again.folder / "zero-shot.md").read_text(encoding="utf-8")
    assert "of 3 seeds]" in table


def test_a_seed_without_all_tasks_is_missing(complete) -> None:
    data = read_report_data(complete.write(), complete.runs_dir)
    first, *others = run_dirs(data, "dense")
    write_accuracy(first, "blimp_transitive", 0.5)
    for folder in others:
        write_accuracy(folder, "blimp_transitive", 0.5)
        write_accuracy(folder, "blimp_wh_island", 0.7)
    found = score_cell(data.baseline, ["blimp"])
    assert found.values == (pytest.approx(60.0),) * len(others)
    assert "seeds]" in found.text


def test_the_columns_of_table_4_are_filled(home, sweeps_dir, fill) -> None:
    fill("paper/table4-c4", {"dense": [20.0], "switchhead": [18.0, 20.0]})

    def write():
        return write_paper_table(4, sweeps_dir, home / "runs", home / "reports", "pocket")

    before = write()
    assert any("LAMBADA" in line and "not measured" in line for line in before.incomplete)
    for folder in (home / "runs").glob("*/result.json"):
        write_accuracy(folder.parent, "lambada_openai", 0.125)
        write_accuracy(folder.parent, "cbt_cn", 0.2)
        write_accuracy(folder.parent, "cbt_ne", 0.4)
    report = write()
    with (report.folder / "table.csv").open(encoding="utf-8") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    row = rows["c4 47M: switchhead"]
    assert (row["paper_lambada"], row["lambada_mean"]) == ("20.4", "12.5")
    assert row["blimp_mean"] == ""
    assert "not measured" in (report.folder / "absolute.md").read_text(encoding="utf-8")


def test_table_8_has_pocket_tasks_in_columns_of_their_own(home, sweeps_dir, fill) -> None:
    """The sweeps ask for the pocket suite at pocket size; the paper's columns stay empty."""
    fill("paper/table8-c4", {"dense": [20.0], "switchhead": [19.0]})

    def write():
        return write_paper_table(8, sweeps_dir, home / "runs", home / "reports", "pocket")

    before = write()
    assert any(
        line.startswith("INCOMPLETE: table8-c4-pocket-")
        and "switchhead lacks zero-shot results (seed 0: 0 of 15 tasks)" in line
        and "`lab sweep paper/table8-c4 --size pocket` evaluates what is missing" in line
        for line in before.incomplete
    )
    for folder in (home / "runs").glob("*/result.json"):
        for task in tasks_named(["pocket"]):
            write_accuracy(folder.parent, task.name, 0.25)
        write_accuracy(folder.parent, "cbt_cn", 0.75)
    report = write()
    assert not any("lacks zero-shot results" in line for line in report.incomplete)
    assert any("LAMBADA" in line and "not measured" in line for line in report.incomplete)
    with (report.folder / "table.csv").open(encoding="utf-8") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    row = rows["c4 45M: switchhead-rope"]
    groups = [*POCKET_CLOZE, LAST_WORD, MINIMAL_PAIRS]
    assert {row[f"{group}_mean"] for group in groups} == {"25.0"}
    assert "cbt_cn_mean" not in row
    assert [row[f"{task}_mean"] for task in ("lambada", "blimp", "cbt")] == ["", "", ""]
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    own = page.partition("## Pocket tasks, which the paper does not have")[2].partition("## ")[0]
    heading = next(line for line in own.splitlines() if line.startswith("| row of the paper"))
    assert "pocket minimal pairs %: ours" in heading
    assert "paper |" not in heading
    absolute = (report.folder / "absolute.md").read_text(encoding="utf-8")
    assert "pocket last word" not in absolute.partition("\n- ")[0]
    assert any("no column of the paper shows them" in line for line in report.caption)


def test_a_table_without_zero_shot_tasks_has_no_pocket_columns(home, sweeps_dir, fill) -> None:
    fill("paper/table2-c4", {"dense": [20.0]})
    for folder in (home / "runs").glob("*/result.json"):
        write_accuracy(folder.parent, LAST_WORD, 0.25)
    report = write_paper_table(2, sweeps_dir, home / "runs", home / "reports", "pocket")
    assert "pocket-tasks.md" not in report.files
