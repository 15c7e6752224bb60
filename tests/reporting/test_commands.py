"""Commands that reports print train and time the declaration that was run, or are not printed."""

import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import pytest
from shipped_sweeps import SWEEPS

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.reporting.all_sweeps import write_reports
from switchhead_lab.reporting.commands import sweep_command
from switchhead_lab.reporting.contents import DEFAULT_AXES
from switchhead_lab.reporting.ladder import gap_lines, read_ladder
from switchhead_lab.reporting.paper_tables.paper_report import write_paper_table
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.selection import recorded_sweeps
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.tracking.sweep_record import sweep_id

OVERRIDES = ["training.n_steps=1000", "data.corpus=other"]
COMMAND = re.compile(r"lab (?:sweep|bench step) [\w/-]+ --size [^`<]*")


@pytest.fixture
def lab(home: Path) -> Workspace:
    shutil.copytree(SWEEPS, home / "sweeps")
    return find_workspace(home)


@pytest.fixture
def fill(make_writer):
    """Record the first seeds of a shipped sweep that was run with overrides and changed code."""

    def make(name, size="pocket", overrides=OVERRIDES):
        writer = make_writer(
            **find_sweep(SWEEPS, name).resolve(size, overrides).model_dump(mode="json")
        )
        for variant in declared_variants(writer.sweep):
            writer.add(variant.name, variant.role, variant.model, 0, 20.0, provenance=CHANGED)
        writer.write()
        return writer

    return make


CHANGED = {"code": {"digest": "0", "files": {"switchhead_lab/training/loop.py": "0"}, "own": []}}


def commands_in(*texts: str) -> list[list[str]]:
    """Return the words of every command with a size, from Markdown or HTML."""
    joined = (" ".join(unescape(text).split()) for text in texts)
    return [shlex.split(command) for text in joined for command in COMMAND.findall(text)]


def declared_by(words: list[str]) -> str:
    """Return the id of the declaration that a command runs."""
    at = words.index("--size")
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    return sweep_id(find_sweep(SWEEPS, words[at - 1]).resolve(words[at + 1], overrides))


def test_every_command_of_a_report_has_its_overrides(lab, fill) -> None:
    record = fill("paper/table2-wikitext103").record()
    written = write_reports(recorded_sweeps(lab.runs_dir), lab, DEFAULT_AXES, "")
    (report,) = written.reports
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    site = written.page.read_text(encoding="utf-8").partition('id="paper-table-')[0]
    for text in (page, site):
        found = commands_in(text)
        assert found
        assert {declared_by(words) for words in found} == {sweep_id(record.sweep)}
    kinds = {(words[1], "--retrain" in words) for words in commands_in(page)}
    assert kinds == {("bench", False), ("sweep", True)}


def test_gaps_of_a_paper_table_name_the_declaration_that_was_run(lab, fill) -> None:
    writer = fill("paper/table2-wikitext103")
    (deleted,) = lab.runs_dir.glob("*switchhead*")
    shutil.rmtree(deleted)
    report = write_paper_table(2, lab.sweeps_dir, lab.runs_dir, lab.reports_dir)
    (line,) = [
        one for one in report.incomplete if one.startswith("INCOMPLETE: wikitext103 47M: no")
    ]
    (words,) = commands_in(line)
    assert declared_by(words) == sweep_id(writer.sweep)
    (line,) = [one for one in report.caption if "is not what its file declares" in one]
    (words,) = commands_in(line)
    assert "--set" not in words  # the declared one


def test_a_missing_size_is_run_with_the_overrides_of_the_others(lab, fill) -> None:
    record = fill("ladder", "xs", ["training.learning_rate=0.002"]).record()
    data = read_report_data(record, lab.runs_dir, lab.sweeps_dir)
    line = gap_lines(read_ladder({"xs": data}, ["xs", "s"]))[0]
    (words,) = commands_in(line)
    assert words[words.index("--size") + 1] == "s"
    assert words[-2:] == ["--set", "training.learning_rate=0.002"]


def test_an_unknown_command_is_not_printed(lab, fill) -> None:
    record = fill("paper/table2-wikitext103").record()
    (lab.sweeps_dir / "paper/table2-wikitext103.toml").unlink()
    assert sweep_command(record.sweep, lab.sweeps_dir) == ""
    (report,) = write_reports(recorded_sweeps(lab.runs_dir), lab, DEFAULT_AXES, "").reports
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert commands_in(page) == []
    assert "overrides of this declaration, which no sweep file gives now" in page
