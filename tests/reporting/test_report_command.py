import json
import os
import subprocess
import sys

import pytest
import typer
from click.testing import _NamedTextIOWrapper
from typer.testing import CliRunner

from switchhead_lab.cli.report import report
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.tracking.sweep_record import sweep_id

app = typer.Typer()
app.command()(report)


def _run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def test_help_ends_with_an_example():
    result = _run("--help")
    assert result.exit_code == 0
    assert "Example: lab report matched-params" in result.output


def test_prints_tables_and_files(home, complete):
    complete.write()
    result = _run("mini")
    assert result.exit_code == 0, result.exception
    assert "35.50 ± 0.50" in result.output
    assert "The paper's ratios to dense beside ours" in result.output
    assert "provenance.json" in result.output
    assert (home / "reports" / sweep_id(complete.sweep) / "report.md").is_file()


def test_without_a_name_every_sweep_is_reported_in_a_line(home, make_writer):
    claims = [{"model": "dense-h2", "cost": {"parameters": 1.01}}]
    writers = [
        make_writer(name=name, claims=claims, studies=None) for name in ("one", "two", "three")
    ]
    for writer in writers:
        writer.fill_models()
        writer.write()
    writers[1].forget("dense", 0)
    writers[1].write()
    empty = make_writer(name="empty")
    empty.write()
    result = _run()
    assert result.exit_code == 0, result.exception
    lines = result.output.splitlines()
    for writer in writers:
        name = sweep_id(writer.sweep)
        assert (home / "reports" / name / "report.md").is_file()
        (line,) = [one for one in lines if one.startswith(f"- {name}: ")]
        assert ("INCOMPLETE: 1 gap" in line) == (writer.sweep.name == "two")
    verdicts = [line for line in lines if line.endswith("supported")]
    assert len(verdicts) == 3
    end = " ".join(lines[-2:])  # long paths have a line of their own
    assert end.endswith(f"page: {home / 'reports/index.html'}")
    assert f"written to {home / 'reports'}, a folder each:" in " ".join(lines)
    assert len(lines) < 20
    assert not list((home / "reports").glob("empty*"))


def test_a_named_sweep_writes_its_folder_and_the_same_page(home, complete, make_writer):
    complete.write()
    other = make_writer(name="other", studies=None)
    other.fill_models()
    other.write()
    reports, pages = home / "reports", []
    for arguments in (["mini"], ["other", "--axis", "layer-macs", "--columns", "all"], []):
        assert _run(*arguments).exit_code == 0
        pages.append((reports / "index.html").read_bytes())
        if arguments == ["mini"]:
            assert not list(reports.glob("other*"))
    assert pages[0] == pages[1] == pages[2]
    folder = reports / sweep_id(complete.sweep)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert _run("mini").exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_sweep_that_cannot_be_reported_costs_no_other(home, complete, make_writer):
    complete.write()
    wrong = {"table": 2, "dataset": "wikitext103", "params": 48}
    broken = make_writer(name="broken", studies=None, paper=wrong)
    broken.fill_models()
    broken.write()
    result = _run()
    assert isinstance(result.exception, RecordError)
    assert f"{sweep_id(broken.sweep)}: paper: Table 2 has no rows" in str(result.exception)
    assert (home / "reports" / sweep_id(complete.sweep) / "report.md").is_file()
    assert (home / "reports" / "index.html").is_file()
    assert isinstance(_run("broken").exception, ConfigError)


def test_size_selects_sweeps(home, complete):
    complete.write()
    assert _run("--size", "tiny").exit_code == 0
    result = _run("--size", "tinny")
    assert isinstance(result.exception, RecordError)
    assert '"tinny" (did you mean "tiny"?); recorded sizes: tiny' in str(result.exception)


LONG_NAME = "a-name-as-long-as-names-of-sweeps-may-be"


@pytest.mark.parametrize(("arguments", "columns"), [([], 0), ([LONG_NAME], 150)])
def test_everything_but_paths_fits_80_columns(home, make_writer, monkeypatch, arguments, columns):
    quality = {"kind": "not_worse", "metric": "validation/loss", "margin": 0.02}
    costs = {"attention-memory:published": 0.6, "active-parameters": 1.0, "time": 1.0}
    claim = {"model": "dense-h2", "quality": quality, "cost": costs, "max_seeds": 3}
    claims = [claim, {**claim, "name": "claim-" * 6 + "name"}]
    writer = make_writer(name=LONG_NAME, claims=claims)
    writer.fill_models()
    writer.fill_study()
    writer.write()
    if columns:
        monkeypatch.setattr(_NamedTextIOWrapper, "isatty", lambda _: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
    result = _run(*arguments)
    assert result.exit_code == 0, result.exception
    lines = result.output.splitlines()
    assert max(len(line) for line in lines if not line.startswith(str(home))) <= 80
    assert any(line.startswith(str(home)) for line in lines)  # on a line of its own, whole


@pytest.mark.parametrize(
    ("dataset", "params", "metrics"),
    [
        ("wikitext103", 47, "perplexity, perplexity,"),
        ("enwik8", 41, "bits per bits per character, byte,"),
    ],
)
def test_results_beside_the_papers_name_their_metric(home, make_writer, dataset, params, metrics):
    paper = {"table": 2, "dataset": dataset, "params": params}
    writer = make_writer(paper=paper, studies=None)
    writer.fill_models()
    writer.write()
    heading = _run("mini").output.partition("beside ours")[2].partition("\u2500")[0]
    words = " ".join(heading.split())
    for word in ("model", "MACs,", "memory,", "paper", "ours"):
        words = words.replace(word, "")
    assert " ".join(words.split()) == metrics


def test_json(home, complete):
    complete.write()
    result = _run("mini", "--size", "tiny", "--json")
    data = json.loads(result.output)
    assert data["models"][0]["validation_perplexity_mean"] == 35.5
    assert data["incomplete"] == []
    folder = home / "reports" / sweep_id(complete.sweep)
    assert sorted(data["files"]) == sorted(str(path) for path in folder.iterdir())


def test_figures_take_any_cost(home, complete):
    complete.write()
    result = _run("mini", "--axis", "active-parameters", "--axis", "layer-macs:executed")
    assert result.exit_code == 0, result.exception
    folder = home / "reports" / sweep_id(complete.sweep)
    assert {path.name for path in folder.glob("*-vs-*.png")} == {
        "perplexity-vs-active-parameters.png",
        "perplexity-vs-layer-macs-executed.png",
    }
    assert _run("mini").exit_code == 0
    assert not (folder / "perplexity-vs-active-parameters.png").exists()


def test_a_figure_against_time_needs_step_times(home, complete):
    complete.write()
    result = _run("mini", "--axis", "time")
    assert isinstance(result.exception, ConfigError)
    assert "`lab bench step` measures them" in str(result.exception)
    result = _run("mini", "--axis", "tmie")
    assert '(did you mean "time"?)' in str(result.exception)


def test_columns_can_be_chosen(home, complete):
    complete.write()
    result = _run("mini", "--columns", "macs,role")
    assert result.exit_code == 0, result.exception
    folder = home / "reports" / sweep_id(complete.sweep)
    heading = (folder / "table.md").read_text().splitlines()[2]
    assert [cell.strip() for cell in heading.strip("|").split("|")] == [
        *("model", "role", "attention MACs (published)"),
    ]
    assert "validation_perplexity_mean" in (folder / "table.csv").read_text()
    assert _run("mini", "--columns", "all").exit_code == 0
    assert "tokens/s of each run" in (folder / "table.md").read_text()
    result = _run("mini", "--columns", "macs,roles")
    assert isinstance(result.exception, ConfigError)
    assert '--columns: no column "roles" (did you mean "role"?)' in str(result.exception)


def test_declarations_do_not_overwrite_each_other(home, complete, make_writer):
    complete.write()
    other = make_writer(data={"corpus": "other", "tokenizer": {"kind": "byte"}}, studies=None)
    other.fill_models()
    other.write()
    first, second = (sweep_id(one.sweep) for one in (complete, other))
    for name in (first, second):
        assert _run(name).exit_code == 0
    pages = [(home / "reports" / name / "report.md").read_text() for name in (first, second)]
    assert "Corpus sotu" in pages[0]
    assert "Corpus other" in pages[1]


def test_several_sweeps_are_reported_each_or_together(home, complete, make_writer):
    complete.write()
    other = make_writer(name="other", studies=None)
    other.fill_models()
    other.write()
    result = _run("mini", "other", "--json")
    assert [one["title"].split(",")[0] for one in json.loads(result.output)] == ["mini", "other"]
    result = _run("mini", "other", "--together")
    assert result.exit_code == 0, result.exception
    assert "Sweeps side by side: mini, other" in result.output
    result = _run("mini", "mini", "--together")
    assert isinstance(result.exception, ConfigError)
    assert "at least two sweeps" in str(result.exception)


def test_an_unknown_cost_is_refused(home, complete):
    complete.write()
    result = _run("mini", "--axis", "modle-macs")
    assert isinstance(result.exception, ConfigError)
    assert '"modle-macs" (did you mean "model-macs"?): use attention-macs, ' in str(
        result.exception
    )


def test_strict_passes_a_complete_sweep_and_fails_another(home, complete):
    complete.write()
    assert _run("--strict").exit_code == 0
    complete.forget("dense", 0)
    complete.write()
    assert _run().exit_code == 0
    result = _run("--strict")
    assert isinstance(result.exception, RecordError)
    assert "INCOMPLETE: dense has 2 of 3 seeds" in str(result.exception)
    # No sweep file declares it.
    assert "`lab sweep` continues it, with the sweep and the overrides" in str(result.exception)
    assert (home / "reports" / sweep_id(complete.sweep) / "report.md").is_file()


@pytest.mark.parametrize("arguments", [[], ["mini"]])
def test_nothing_to_report(home, arguments):
    result = _run(*arguments)
    assert isinstance(result.exception, RecordError)
    assert "lab sweep" in str(result.exception)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "environment",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"PYTHONIOENCODING": "ascii", "COLUMNS": "1"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_works_in_any_environment(home, complete, environment):
    complete.write()
    done = subprocess.run(
        [sys.executable, "-m", "switchhead_lab", "report"],
        cwd=home,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"index.html" in done.stdout
