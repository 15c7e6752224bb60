"""The documents' examples work, and the commands that they name exist."""

import re
import shlex
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from command_line import all_commands, is_group, options_of
from documents import code_blocks, pages, read_document, table_rows, without_blocks
from tiny_sweep import DECLARATION, SWEEP

import switchhead_lab
from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.config.workspace import WorkspaceSettings
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.plan import all_variants
from switchhead_lab.tracking.mlflow_index import NoIndex

TOML = [block for page in pages() for block in code_blocks(read_document(page), "toml")]
COMMANDS = {
    command: None
    for name in (*pages(), "CONTRIBUTING.md", "kernels/README.md")
    for text in [read_document(name)]
    for command in [
        *text.splitlines(),
        *(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_blocks(text))),
    ]
    if command.startswith("lab ")
}


def test_python_examples_run(workspace, monkeypatch) -> None:
    monkeypatch.chdir(workspace.root)
    text = f"{SWEEP}".partition("[[studies]]")[0].replace('"tiny"', '"matched-params"')
    path = workspace.sweeps_dir / "matched-params.toml"
    path.write_text(f"{text}[sizes.demo]\n", encoding="utf-8")
    sweep = find_sweep(workspace.sweeps_dir, "matched-params").resolve()
    record = run_sweep(workspace, sweep, NoIndex(), lambda line: None)
    (example,) = code_blocks(read_document("docs/trained-runs.md"), "python")
    names: dict[str, object] = {}
    exec(example.replace("3fb2c1", record.members[0].run_name), names)
    assert len(names["finished"]) == 1  # type: ignore[arg-type]
    assert len(names["best"]) == 2  # type: ignore[arg-type]
    assert not names["model"].training  # type: ignore[attr-defined]
    assert names["ids"].tolist() == list(b"some text")  # type: ignore[attr-defined]


def test_the_sweep_file_can_be_matched(tmp_path) -> None:
    blocks = code_blocks(read_document("docs/comparison.md"), "toml")
    (text,) = [block for block in blocks if "[sizes." in block]
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


def whole_tree(fragment: dict[str, Any], tiny_config) -> tuple[type, dict[str, Any]]:
    """Return what a fragment of TOML configures, completed to a whole configuration."""
    if fragment.keys() <= WorkspaceSettings.model_fields.keys():
        return WorkspaceSettings, fragment
    if "claims" in fragment:
        names = {claim["model"] for claim in fragment["claims"]}
        models = [{"kind": "dense", "name": name, "n_heads": 2} for name in sorted(names)]
        return Sweep, {**DECLARATION, "models": models, **fragment}
    if {"models", "studies", "evaluation"} & fragment.keys():
        return Sweep, {**DECLARATION, **fragment}
    run = tiny_config().model_dump(mode="json")
    return RunConfig, merge_trees({**run, "data": fragment["data"]}, fragment)


@pytest.mark.parametrize("text", TOML)
def test_toml_fragments_are_valid(tiny_config, text: str) -> None:
    fragment = tomllib.loads(text)
    if "sizes" not in fragment:
        schema, tree = whole_tree(fragment, tiny_config)
        assert parse(schema, tree, "documents")


def command_of(line: str) -> tuple[tuple[str, ...], list[str]]:
    """Split a line into the words of its command and the arguments."""
    known = all_commands()
    words, arguments = (), shlex.split(line, comments=True)[1:]
    while arguments and is_group(known[words]):
        if (*words, arguments[0]) not in known:  # `lab sweep NAME` means `lab sweep run NAME`
            arguments.insert(0, "run")
        words = (*words, arguments.pop(0))
    return words, arguments


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line: str) -> None:
    words, arguments = command_of(line)
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert options <= options_of(all_commands()[words])


def test_the_table_names_every_command() -> None:
    """In a cell, `lab data prepare` / `list` names `lab data list` too."""
    named = set()
    for cell, *_ in table_rows(read_document("docs/command-line.md")):
        group = ""
        for code in re.findall(r"`([^`]+)`", cell) if cell.startswith("`lab ") else ():
            line = code if code.startswith("lab ") else f"lab {group} {code}"
            words, _ = command_of(line)
            group = words[0]
            named.add(words)
    commands = {words for words, command in all_commands().items() if not is_group(command)}
    assert named == commands


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
