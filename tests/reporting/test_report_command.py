import json
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from switchhead_lab.cli.report import report
from switchhead_lab.errors import ConfigError, RecordError

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
    result = _run()
    assert result.exit_code == 0, result.exception
    assert "35.50 ± 0.50" in result.output
    assert "The paper's values beside ours" in result.output
    assert "provenance.json" in result.output
    assert (home / "reports" / "mini" / "tiny" / "report.md").is_file()


def test_table_fits_a_wide_terminal(home, complete):
    complete.write()
    lines = _run("mini").output.splitlines()
    table = lines[: lines.index("") if "" in lines else 9][:8]
    assert max(len(line.rstrip()) for line in table) <= 145


def test_json(home, complete):
    complete.write()
    result = _run("mini", "--size", "tiny", "--json")
    data = json.loads(result.output)
    assert data["models"][0]["validation_perplexity_mean"] == 35.5
    assert data["incomplete"] == []
    assert len(data["files"]) == len(set(data["files"])) == 17


def test_figures_take_any_cost(home, complete):
    complete.write()
    result = _run("mini", "--axis", "active-parameters", "--axis", "layer-macs:executed")
    assert result.exit_code == 0, result.exception
    folder = home / "reports" / "mini" / "tiny"
    assert {path.name for path in folder.glob("*-vs-*.png")} == {
        "perplexity-vs-active-parameters.png",
        "perplexity-vs-layer-macs-executed.png",
    }
    assert _run("mini").exit_code == 0
    assert not (folder / "perplexity-vs-active-parameters.png").exists()


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
    assert (home / "reports" / "mini" / "tiny" / "report.md").is_file()


@pytest.mark.parametrize("arguments", [[], ["mini"]])
def test_nothing_to_report(home, arguments):
    result = _run(*arguments)
    assert isinstance(result.exception, RecordError)
    assert "lab sweep" in str(result.exception)


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
    assert b"provenance.json" in done.stdout
