import hashlib
import json
from pathlib import Path

import pytest
import torch
from command_line import lab
from safetensors.torch import load

import switchhead_lab
from switchhead_lab.budget.summary import summarise_budget
from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import ConfigError, LabError, RecordError
from switchhead_lab.export import folder as export_folder
from switchhead_lab.export.manifest import is_export
from switchhead_lab.sweeping.costing import all_counters
from switchhead_lab.trained.exporting import export_run


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def exported(train, tmp_path) -> Path:
    return export_run(train(), tmp_path / "model")[0]


def test_the_manifest_has_the_hash_of_every_file(exported: Path) -> None:
    files = contents(exported)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["files"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())
    }
    assert {*files} == {
        *("README.md", "config.toml", "labels.json", "model.safetensors", "provenance.json"),
        *("result.json", "vocabulary.json"),
        *({"uncommitted.diff"} & {*files}),
    }
    assert manifest["format_version"] == 1


def test_records_of_the_run_are_copied_as_they_are(train, tmp_path) -> None:
    run = train()
    files = contents(export_run(run, tmp_path / "model")[0])
    for name in ("config.toml", "labels.json", "result.json", "provenance.json"):
        assert files[name] == (run.record.directory / name).read_bytes(), name
    tensors = load(files["model.safetensors"])
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


@pytest.mark.parametrize("format_", ["lab", "hf"])
def test_the_same_run_gives_the_same_bytes(train, tmp_path, format_) -> None:
    run = train()
    folders = [export_run(run, tmp_path / name, format=format_)[0] for name in "ab"]
    first, second = map(contents, folders)
    assert first == second
    # An export is replaced by a new one.
    export_run(run, folders[0], format=format_, checkpoint=1)
    assert contents(folders[0])["model.safetensors"] != second["model.safetensors"]
    export_run(run, folders[0], format=format_)
    assert contents(folders[0]) == second
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_other_folders_are_not_overwritten(train, exported: Path, tmp_path, workspace) -> None:
    run = train()
    (tmp_path / "empty").mkdir()
    export_run(run, tmp_path / "empty")
    with pytest.raises(ConfigError, match="not an intact export"):
        export_run(run, workspace.root)
    (tmp_path / "file").write_text("text")
    with pytest.raises(ConfigError, match="exists and is not a folder; choose another"):
        export_run(run, tmp_path / "file")
    (exported / "notes").mkdir()
    (exported / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes/mine.txt, which is not part of the export"):
        export_run(run, exported)
    assert (exported / "notes" / "mine.txt").read_text() == "mine"


def test_a_failed_export_leaves_nothing(train, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_folder, "_write_weights", full)
    with pytest.raises(LabError, match="No space left on device"):
        export_run(train(), tmp_path / "model")
    assert not [path for path in tmp_path.iterdir() if "model" in path.name]


def test_the_card_has_budget_results_and_provenance(train, tmp_path) -> None:
    run = train(model={"attention": {"kind": "moa", "n_heads": 2, "n_experts": 4, "d_head": 4}})
    card = (export_run(run, tmp_path / "model")[0] / "README.md").read_text(encoding="utf-8")
    config, result, manifest = run.config, run.record.result, run.record.provenance["data_manifest"]
    budget = summarise_budget(config.model, all_counters(), config.vocab_size)
    assert result is not None
    for part in (
        f"| parameters | {result.n_parameters:,} |",
        f"| of them active per token | {budget.costs.n_active_parameters:,} |",
        *(
            f"convention `{name}` | {budget.costs.model_macs_per_token(name):,.0f} |"
            for name in ("equations", "published", "executed")
        ),
        "| attention | moa, ",
        ", n_experts = 4, ",
        f"| {result.validation['perplexity']:,.2f} | {result.test['perplexity']:,.2f} |",
        manifest["digest"],
        run.record.provenance["git"]["commit"] or "commit: unknown",
        run.record.run_hash,
        "switchhead_lab.open_run(",
    ):
        assert part in card


def test_a_classifier_is_exported_without_a_tokenizer(train, tmp_path) -> None:
    run = train(
        objective={"kind": "classification"},
        data={"kind": "listops", "max_depth": 2, "max_length": 12, "n_train": 64},
        model={"direction": "bidirectional", "context_multiple": 1},
    )
    folder, _ = export_run(run, tmp_path / "model")
    exported = switchhead_lab.open_run(folder)
    assert exported.model().output.out_features == 10
    with pytest.raises(RecordError, match="generated listops examples"):
        exported.tokenizer()
    with pytest.raises(RecordError, match='objective.kind = "classification"'):
        exported.require_language_model()
    with pytest.raises(RecordError, match="format hf holds causal language models only"):
        export_run(run, tmp_path / "hf", format="hf")


def damage(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def truncate(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def remove(folder: Path, name: str) -> None:
    (folder / name).unlink()


@pytest.mark.parametrize(
    ("harm", "name", "message"),
    [
        (damage, "config.toml", "damaged: SHA-256 is"),
        (damage, "model.safetensors", "damaged: SHA-256 is"),
        (truncate, "model.safetensors", "damaged: SHA-256 is"),
        (truncate, "manifest.json", "not the manifest of an export"),
        (remove, "model.safetensors", "missing"),
        (remove, "vocabulary.json", "missing"),
        (remove, "manifest.json", "cannot be read: No such file or directory"),
    ],
)
def test_a_damaged_export_is_one_error(exported: Path, harm, name: str, message: str) -> None:
    harm(exported, name)
    error = lab("generate", str(exported), cwd=exported.parent, code=2).stderr
    assert error.startswith(f"error: {exported / name}: {message}")
    assert error.endswith("copy the folder again, or export the run again\n")
    assert len(error.splitlines()) == 1


def rewrite(folder: Path, **values: object) -> None:
    """Change fields of a manifest, with a hash that fits."""
    path = folder / "manifest.json"
    manifest = {**json.loads(path.read_text(encoding="utf-8")), **values}
    del manifest["manifest_sha256"]
    path.write_text(json.dumps({**manifest, "manifest_sha256": hash_of(manifest)}))


def test_other_folders_with_a_manifest_are_no_exports(train, workspace) -> None:
    run = train()
    store = workspace.data_dir / "words" / "byte"
    assert (store / "manifest.json").is_file()
    assert not is_export(store)
    assert not is_export(run.record.directory)


def test_a_changed_manifest_is_rejected(exported: Path) -> None:
    path = exported / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"step": 2', '"step": 3'), encoding="utf-8")
    with pytest.raises(RecordError, match="damaged: its own SHA-256 differs"):
        switchhead_lab.open_run(exported)
    rewrite(exported, step=3)
    assert switchhead_lab.open_run(exported).weights().step == 3
    rewrite(exported, step=-1)
    with pytest.raises(RecordError, match="manifest.json: damaged: step"):
        switchhead_lab.open_run(exported)


def test_a_newer_format_and_another_identity_are_rejected(exported: Path) -> None:
    rewrite(exported, run_hash="0" * 64)
    with pytest.raises(RecordError, match="this code reads it differently; use the version"):
        switchhead_lab.open_run(exported)
    rewrite(exported, format_version=2, unknown_field=1)
    with pytest.raises(
        RecordError, match="format version 2 is newer than 1, .*update switchhead_lab"
    ):
        switchhead_lab.open_run(exported)
