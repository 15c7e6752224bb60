"""The README's examples of trained runs work, and the commands that it names exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from tiny_sweep import SWEEP

import switchhead_lab
from switchhead_lab.cli.app import app
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.plan import all_variants
from switchhead_lab.tracking.mlflow_index import NoIndex

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    for line in block.splitlines()
    if not language and line.startswith("lab ")
]


def test_python_examples_run(workspace, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    text = f"{SWEEP}".partition("[[studies]]")[0].replace('"tiny"', '"matched-params"')
    path = workspace.sweeps_dir / "matched-params.toml"
    path.write_text(f"{text}[sizes.demo]\n", encoding="utf-8")
    sweep = find_sweep(workspace.sweeps_dir, "matched-params").resolve()
    record = run_sweep(workspace, sweep, NoIndex(), lambda line: None)
    examples = [block for language, block in BLOCKS if language == "python"]
    assert len(examples) == 1
    names: dict[str, object] = {}
    exec(examples[0].replace("3fb2c1", record.members[0].run_name), names)
    assert len(names["finished"]) == 1  # type: ignore[arg-type]
    assert len(names["best"]) == 2  # type: ignore[arg-type]
    assert not names["model"].training  # type: ignore[attr-defined]
    assert names["ids"].tolist() == list(b"some text")  # type: ignore[attr-defined]


def test_the_sweep_file_can_be_matched(tmp_path) -> None:
    (text,) = [block for language, block in BLOCKS if language == "toml" and "[sizes." in block]
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    file = find_sweep(tmp_path, "mine")
    for size in file.sizes:
        sweep = file.resolve(size)
        variants = {variant.name: variant for variant in all_variants(sweep)}
        assert list(variants) == ["dense", *(model.name for model in sweep.models), "searched"]
        assert variants["moa"].rule.convention == "executed"
        assert variants["dense-rope"].model.positions.kind == "rope"
        assert variants["switchall"].model.feedforward.kind == "sigma_moe"
        assert variants["switchall"].training.clip_norm == 0.5


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line: str) -> None:
    command: click.Command = typer.main.get_command(app)
    _, *words = shlex.split(line, comments=True)
    while hasattr(command, "commands"):
        if words[0] not in command.commands:  # `lab sweep NAME` means `lab sweep run NAME`
            words.insert(0, "run")
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_readme_names_the_commands_of_trained_runs() -> None:
    assert {"generate", "score"} <= {line.split()[1] for line in COMMANDS}


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, switchhead_lab\n"
        "assert {'open_run', 'runs', 'sweep'} <= set(dir(switchhead_lab))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "numpy", "pydantic", "mlflow", "optuna", "matplotlib"}
    assert not heavy & set(done.stdout.split())


def test_an_unknown_name_in_the_package_raises() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'open_runs'"):
        switchhead_lab.open_runs  # noqa: B018
