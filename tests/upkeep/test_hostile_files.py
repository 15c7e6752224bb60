"""A hostile file in any place where a file is loaded: no code runs, no path leads outside."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import lab
from pydantic import TypeAdapter, ValidationError
from test_verification import evaluate, the_run
from tiny_sweep import SWEEP

from switchhead_lab.config.names import FileName
from switchhead_lab.errors import LabError
from switchhead_lab.export.manifest import ExportManifest, read_manifest
from switchhead_lab.tracking.evaluations import TaskResult, read_task_results
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember
from switchhead_lab.trained.run import open_run


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self._mark}",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, write_corpus) -> Path:
    from switchhead_lab.data.token_store import register

    folder = tmp_path_factory.mktemp("hostile")
    root = folder / "lab"
    (root / "sweeps").mkdir(parents=True)
    (root / "lab.toml").write_text('tracking_uri = "none"\ndevice = "cpu"\n')
    register(root / "data", write_corpus(folder / "words.txt"), "words")
    text = SWEEP.partition("[[studies]]")[0].replace('"two-heads"', '"grouped"')
    (root / "sweeps/tiny.toml").write_text(f"{text}[sizes.small]\n")
    lab("sweep", "tiny", cwd=root)
    run = the_run(root)
    evaluate(run)
    lab("export", run.name, cwd=root)
    lab("runs", "list", cwd=root)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "copy"))


RUN_FILES = (
    *("config.toml", "labels.json", "provenance.json", "metrics.jsonl", "status.json"),
    *("result.json", "router_use.json", "documents-validation.json", "mlflow.json", "import.json"),
    *("checkpoints/step-00000004/checkpoint.json", "evaluation/pocket_cloze.json"),
    *("checkpoints/step-00000004/tensors.safetensors", "evaluation/pocket_cloze.samples.jsonl"),
    "attempts/1/provenance.json",
)
EXPORT_FILES = ("manifest.json", "model.safetensors", "vocabulary.json", "config.toml")
OTHER_FILES = (
    *("lab.toml", "sweeps/tiny.toml", "runs/.listing.json", "runs/.workspace.json"),
    *("data/words/corpus.json", "data/words/byte/manifest.json", "data/words/byte/train.bin"),
    *("data/words/byte/tokenizer.json", "runs/sweeps/SWEEP/sweep.json"),
)
PLACES = [
    *(f"runs/RUN/{name}" for name in RUN_FILES),
    *(f"exports/RUN/{name}" for name in EXPORT_FILES),
    *OTHER_FILES,
]
COMMANDS = (
    *(["runs", "list"], ["runs", "show", "RUN"], ["verify"], ["report", "tiny"]),
    *(["generate", "RUN", "--tokens", "2"], ["generate", "exports/RUN", "--tokens", "2"]),
    *(["reproduce", "RUN", "--steps", "1"], ["runs", "import", "runs/RUN"]),
)


def run_all(root: Path, name: str) -> None:
    """Run commands that load everything; errors of the lab are fine."""
    for command in COMMANDS:
        words = [word.replace("RUN", name) for word in command]
        for code in (0, 1, 2):
            try:
                lab(*words, cwd=root, code=code)
                break
            except AssertionError:
                continue
        else:
            raise AssertionError(f"{words}: neither done nor one clear error")


@pytest.mark.thorough
@pytest.mark.parametrize("place", PLACES)
def test_a_pickle_in_place_of_a_file_is_never_executed(
    root: Path, tmp_path: Path, place: str
) -> None:
    run, mark = the_run(root), tmp_path / "executed"
    (sweep,) = (root / "runs/sweeps").iterdir()
    path = root / place.replace("RUN", run.name).replace("SWEEP", sweep.name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(Payload(mark)))
    run_all(root, run.name)
    assert not mark.exists()


def test_the_payload_would_be_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


OUTSIDE = ["../outside", "/etc/hostname", "..", ".", "", "a/../../b", "a\\b", "a\nb", ".hidden"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_in_records_never_lead_outside(root: Path, name: str) -> None:
    run = the_run(root)
    (folder,) = (root / "runs/sweeps").iterdir()
    member = SweepDir(folder).read().members[0].model_dump()
    (result,) = read_task_results(run.directory / "evaluation")
    manifest = read_manifest(root / "exports" / run.name).model_dump()
    with pytest.raises(ValidationError):
        SweepMember.model_validate({**member, "run_name": name})
    with pytest.raises(ValidationError):
        TaskResult.model_validate({**result.model_dump(), "task": name})
    with pytest.raises(ValidationError):
        ExportManifest.model_validate({**manifest, "plugins": [name]})
    with pytest.raises(ValidationError):
        ExportManifest.model_validate({**manifest, "files": {name: "0" * 64}})
    with pytest.raises(ValidationError):
        ExportManifest.model_validate({**manifest, "files": {f"plugins/{name}": "0" * 64}})


def test_names_of_files_in_folders_are_allowed() -> None:
    names = TypeAdapter(FileName)
    for name in ("a", "plugins/my_variants.py", "a/b/c.txt", "model.safetensors"):
        assert names.validate_python(name) == name


@pytest.mark.parametrize("name", ["../../evil.py", "/var/evil.py"])
def test_an_export_cannot_name_a_plugin_outside(root: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "executed"
    folder = root / "exports" / the_run(root).name
    for place in (folder.parent / "evil.py", folder.parents[1] / "evil.py"):
        place.write_text(f"open({str(mark)!r}, 'w').close()\n")
    source = (folder.parents[1] / "evil.py").read_bytes()
    values = json.loads((folder / "manifest.json").read_text())
    values["plugins"] = [name]
    values["files"][f"plugins/{name}"] = hashlib.sha256(source).hexdigest()
    sealed = ExportManifest.model_construct(**values).sealed()
    (folder / "manifest.json").write_text(json.dumps(sealed.model_dump(mode="json")))
    with pytest.raises(LabError):
        open_run(folder)
    assert not mark.exists()


def test_a_link_in_an_export_cannot_lead_outside(root: Path) -> None:
    folder = root / "exports" / the_run(root).name
    outside = root.parent / "model.safetensors"
    shutil.move(folder / "model.safetensors", outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(LabError, match="a link that leads out of the folder"):
        open_run(folder)
