import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import lab
from exported_models import MODELS, SENTENCEPIECE, TEXT

import switchhead_lab
from switchhead_lab.config import plugins
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.data.documents import Document
from switchhead_lab.errors import RecordError
from switchhead_lab.frozen_model import rebuild_schemas
from switchhead_lab.trained.exported_run import ExportedRun
from switchhead_lab.trained.exporting import export_run
from switchhead_lab.trained.generation import Sampling, generate
from switchhead_lab.trained.opened_run import OpenedRun
from switchhead_lab.trained.scoring import score_documents

GQA = {"kind": "my_grouped_query", "n_heads": 4, "n_groups": 2, "d_head": 4}
PLUGIN = Path(__file__).parents[1] / "plugins" / "my_variants.py"


def uses(run: OpenedRun) -> tuple[str, object]:
    """Return a text that a model writes and the scores that it gives."""
    sampling = Sampling(n_tokens=40, seed=3)
    text = generate(run, "river", sampling, device="cpu")
    return text, score_documents(run, [Document("one", TEXT)], batch_size=1, device="cpu")


@pytest.mark.parametrize("name", MODELS)
def test_an_export_gives_the_same_bits_without_the_workspace(
    train, remove_workspace, tmp_path, name: str
) -> None:
    run = train(model=MODELS[name])
    expected, weights = uses(run), run.model().state_dict()
    folder, _ = export_run(run, tmp_path / "model")
    remove_workspace()
    exported = switchhead_lab.open_run(folder)
    assert isinstance(exported, ExportedRun)
    assert uses(exported) == expected
    assert all(
        torch.equal(weights[key], value) for key, value in exported.weights().weights.items()
    )
    assert (exported.name, exported.config) == (run.name, run.config)
    assert exported.record.result == run.record.result
    assert exported.record.labels == run.record.labels
    assert exported.record.provenance == run.record.provenance


@pytest.mark.parametrize("tokenizer", [{"kind": "char", "vocab_size": 40}, SENTENCEPIECE])
def test_an_export_has_the_tokenizer(train, prose, remove_workspace, tmp_path, tokenizer) -> None:
    run = train(data={"corpus": prose, "tokenizer": tokenizer})
    expected, encoded = uses(run), run.tokenizer().encode("river\n\u2581 lamp").tolist()
    export_run(run, tmp_path / "model")
    remove_workspace()
    exported = switchhead_lab.open_run(tmp_path / "model")
    assert exported.tokenizer().encode("river\n\u2581 lamp").tolist() == encoded
    assert uses(exported) == expected


def test_what_needs_the_data_is_one_error(train, tmp_path) -> None:
    run = train()
    folder, _ = export_run(run, tmp_path / "model")
    exported = switchhead_lab.open_run(folder)
    for use in (lambda: exported.dataset(), lambda: exported.metrics):
        with pytest.raises(RecordError, match=f"model: an export has no .*open the run {run.name}"):
            use()


def test_an_earlier_checkpoint_is_exported_and_named(train, tmp_path) -> None:
    run = train()
    folder, manifest = export_run(run, tmp_path / "model", checkpoint=1)
    exported = switchhead_lab.open_run(folder)
    earlier, last = run.model(checkpoint=1).state_dict(), run.model().state_dict()
    weights = exported.model(checkpoint=1).state_dict()
    assert manifest.step == 1
    assert all(torch.equal(earlier[key], value) for key, value in weights.items())
    assert any(not torch.equal(last[key], value) for key, value in weights.items())
    with pytest.raises(RecordError, match="no checkpoint of step 2; .* after step 1 only"):
        exported.model(checkpoint=2)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "those after step 1 of 2" in card
    assert "Of the weights after step 2, not of the exported ones" in card


def test_an_export_can_be_exported_again(train, remove_workspace, tmp_path) -> None:
    export_run(train(), tmp_path / "first")
    remove_workspace()
    export_run(switchhead_lab.open_run(tmp_path / "first"), tmp_path / "second")
    assert contents(tmp_path / "second") == contents(tmp_path / "first")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def use_plugin(workspace: Workspace, name: str = "my_variants.py") -> None:
    settings = f'tracking_uri = "none"\ndevice = "cpu"\nplugins = ["{name}"]\n'
    (workspace.root / "lab.toml").write_text(settings, encoding="utf-8")
    find_workspace(workspace.root, environment={})


def forget_plugin() -> None:
    plugins._unload("my_variants")
    rebuild_schemas()


@pytest.fixture
def plugin_export(workspace, train, remove_workspace, tmp_path) -> tuple[Path, tuple[str, object]]:
    """An export of a variant from a plugin, and what its run gave; the plugin is unloaded."""
    shutil.copy(PLUGIN, workspace.root)
    use_plugin(workspace)
    run = train(model={"attention": GQA})
    expected = uses(run)
    folder, _ = export_run(run, tmp_path / "model")
    remove_workspace()
    forget_plugin()
    return folder, expected


def test_a_plugin_is_exported_and_loaded(plugin_export) -> None:
    folder, expected = plugin_export
    assert (folder / "plugins" / "my_variants.py").read_bytes() == PLUGIN.read_bytes()
    before = list(sys.path)
    assert uses(switchhead_lab.open_run(folder)) == expected
    assert sys.path == before
    assert not list(folder.rglob("__pycache__"))


def test_files_that_a_plugin_imports_are_exported(
    workspace, train, remove_workspace, tmp_path, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(workspace.root)
    (workspace.root / "my_sizes.py").write_text("LARGEST = 3\n")
    (workspace.root / "my_variants.py").write_text(f"import my_sizes\n{PLUGIN.read_text()}")
    use_plugin(workspace)
    run = train(model={"attention": GQA})
    expected = uses(run)
    folder, manifest = export_run(run, tmp_path / "model")
    remove_workspace()
    forget_plugin()
    monkeypatch.delitem(sys.modules, "my_sizes")
    assert uses(switchhead_lab.open_run(folder)) == expected
    assert manifest.plugins == ["my_variants.py"]
    assert Path(sys.modules["my_sizes"].__file__ or "").parent == folder / "plugins"


def test_a_plugin_that_the_run_directory_lacks_is_one_error(workspace, train, tmp_path) -> None:
    shutil.copy(PLUGIN, workspace.root)
    use_plugin(workspace)
    run = train(model={"attention": GQA})
    (run.record.directory / "plugins" / "my_variants.py").unlink()
    with pytest.raises(RecordError, match="plugins/my_variants.py: missing; copy the plugin"):
        export_run(run, tmp_path / "model")


def test_a_plugin_inside_a_package_is_rejected(workspace, train, tmp_path, monkeypatch) -> None:
    package = workspace.root / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    text = PLUGIN.read_text().replace('"my_variants:', '"my_package.variants:')
    (package / "variants.py").write_text(text)
    monkeypatch.syspath_prepend(workspace.root)
    use_plugin(workspace, "my_package.variants")
    run = train(model={"attention": GQA})
    with pytest.raises(RecordError, match=r"my_package.variants is a module of a package"):
        export_run(run, tmp_path / "model")


def test_changed_or_added_plugins_are_not_run(plugin_export) -> None:
    folder, _ = plugin_export
    added = folder / "plugins" / "json.py"
    added.write_text("raise AssertionError('run')\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"json.py: not listed in manifest.json"):
        switchhead_lab.open_run(folder)
    added.unlink()
    (folder / "plugins" / "my_variants.py").write_text("raise AssertionError('run')\n")
    with pytest.raises(RecordError, match=r"my_variants.py: damaged"):
        switchhead_lab.open_run(folder)


def test_the_command_line_exports_and_uses_an_export(train, remove_workspace, tmp_path) -> None:
    run = train()
    Path("speech.txt").write_text(TEXT, encoding="utf-8")
    shutil.copy("speech.txt", tmp_path)
    commands = (
        ["generate", "RUN", "--prompt", "river", "--tokens", "20", "--device", "cpu"],
        ["score", "RUN", "speech.txt", "--json", "--device", "cpu"],
    )
    expected = [
        lab(*(run.name if w == "RUN" else w for w in c), cwd=Path()).stdout for c in commands
    ]
    done = lab("export", run.name, cwd=Path())
    assert done.stdout == f"exports/{run.name}: {run.name} after step 2, format lab\n"
    described = json.loads(
        lab("export", run.name, "--out", tmp_path / "m", "--json", cwd=Path()).stdout
    )
    assert described["run"] == run.name
    remove_workspace()
    for command, output in zip(commands, expected, strict=True):
        words = ("./m" if word == "RUN" else word for word in command)
        assert lab(*words, cwd=tmp_path).stdout == output
    (tmp_path / "m" / "config.toml").unlink()
    error = lab("generate", "m", cwd=tmp_path, code=2).stderr
    assert error == (
        f"error: {tmp_path / 'm' / 'config.toml'}: missing; copy the folder again, or export the "
        "run again\n"
    )
    error = lab("export", "m", "--format", "hff", cwd=tmp_path, code=2).stderr
    assert "error" in error


@pytest.mark.thorough
def test_an_export_opens_in_another_process(plugin_export, tmp_path) -> None:
    folder, (text, _) = plugin_export
    program = (
        "import sys, switchhead_lab\n"
        "from switchhead_lab.trained.generation import Sampling, generate\n"
        "run = switchhead_lab.open_run(sys.argv[1])\n"
        "print(generate(run, 'river', Sampling(n_tokens=40, seed=3), device='cpu').encode())\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == repr(text.encode())
