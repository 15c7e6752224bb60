"""Runs move between workspaces after all checks; hostile ones change nothing."""

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import trained
from tiny_runs import train

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.record import RunRecord, read_run
from switchhead_lab.upkeep.archive import Limits

SETTINGS = 'tracking_uri = "none"\ndevice = "cpu"\n'


@pytest.fixture
def run(workspace: Workspace, tiny_config) -> RunRecord:
    return trained(workspace, tiny_config("switchhead"))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another workspace, without data."""
    root = tmp_path / "other"
    root.mkdir()
    (root / "lab.toml").write_text(SETTINGS)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder by name, without those that belong to a workspace."""
    local = {"import.json", "mlflow.json", "unsynced"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in local
    }


def left_in(root: Path) -> list[str]:
    """Return what an import left in the runs folder, without locks and the listing's cache."""
    names = {path.name for path in (root / "runs").iterdir()} - {".listing.json"}
    return [name for name in names if not name.endswith(".lock")]


def test_a_packed_run_is_the_same_in_another_workspace(
    run: RunRecord, workspace: Workspace, other: Path
) -> None:
    for name in ("mlflow.json", "unsynced"):
        (run.directory / name).write_text("{}")
    done = lab("runs", "pack", run.run_hash[:8], "--out", other / "run.tar.gz", cwd=workspace.root)
    assert "run.tar.gz: " in done.stdout
    done = lab("runs", "import", "run.tar.gz", cwd=other)
    assert "imported" in done.stdout
    assert "not checked: data of" in done.stdout
    assert contents(other / "runs" / run.name) == contents(run.directory)
    assert json.loads((other / "runs" / run.name / "import.json").read_text())["source"] == (
        "run.tar.gz"
    )
    assert run.name in lab("runs", "list", "--json", cwd=other).stdout
    assert "passed" in lab("verify", cwd=other).stdout
    assert left_in(other) == [run.name]


def test_packing_again_gives_the_same_bytes_and_overwrites_nothing(
    run: RunRecord, workspace: Workspace, tmp_path: Path
) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        lab("runs", "pack", run.name, "--out", tmp_path / name, cwd=workspace.root)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    done = lab("runs", "pack", run.name, "--out", tmp_path / "a.tar.gz", cwd=workspace.root, code=2)
    assert "exists; choose another file with --out" in done.stderr
    lab("runs", "pack", run.name, "--without-weights", cwd=workspace.root)
    with tarfile.open(workspace.root / f"{run.name}.tar.gz") as archive:
        assert not any("checkpoints" in name for name in archive.getnames())


def test_a_directory_is_imported_too_and_again_changes_nothing(
    run: RunRecord, workspace: Workspace, other: Path
) -> None:
    assert json.loads(lab("runs", "import", run.directory, "--json", cwd=other).stdout)["is_new"]
    before = contents(other)
    done = lab("runs", "import", run.directory, cwd=other)
    assert "the same run is here already; nothing has changed" in done.stdout
    # What was added here since, such as an evaluation, makes no difference.
    (other / "runs" / run.name / "evaluation").mkdir()
    (other / "runs" / run.name / "evaluation" / "x.samples.jsonl").write_text("")
    lab("runs", "import", run.directory, cwd=other)
    del before
    done = lab("runs", "import", run.directory, cwd=workspace.root, code=2)
    assert "is in the workspace already" in done.stderr


def test_a_different_run_is_never_overwritten(run: RunRecord, other: Path) -> None:
    lab("runs", "import", run.directory, cwd=other)
    kept = other / "runs" / run.name
    path = kept / "labels.json"
    path.write_text(path.read_text().replace("tiny", "small"))
    before = contents(other / "runs")
    done = lab("runs", "import", run.directory, cwd=other, code=2)
    assert "is another run of the same configuration, its labels.json differs" in done.stderr
    assert contents(other / "runs") == before
    shutil.rmtree(kept)
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    done = lab("runs", "import", run.directory, cwd=other, code=2)
    assert "exists and is another run; move it away" in done.stderr
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


def test_an_imported_run_can_be_used(
    run: RunRecord, workspace: Workspace, other: Path, write_corpus, tmp_path: Path
) -> None:
    from switchhead_lab.data.token_store import register

    lab("runs", "import", run.directory, cwd=other)
    register(other / "data", tmp_path / "words.txt", "words")
    assert "identical" in lab("reproduce", run.name, cwd=other).stdout
    lab("export", run.name, cwd=other)
    found = find_workspace(other, environment={})
    assert read_run(found.runs_dir / run.name).result == run.result


def test_other_data_under_the_same_name_are_refused(
    run: RunRecord, other: Path, tmp_path: Path, write_corpus
) -> None:
    from switchhead_lab.config.data import TextData
    from switchhead_lab.data.token_store import prepare, register

    register(other / "data", write_corpus(tmp_path / "others.txt", 91), "words")
    assert isinstance(run.config.data, TextData)
    prepare(other / "data", run.config.data)
    done = lab("runs", "import", run.directory, cwd=other, code=2)
    assert "but the run was trained on" in done.stderr
    assert left_in(other) == []


def damaged(directory: Path) -> None:
    path = directory / "checkpoints/step-00000006/tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def linked_file(directory: Path) -> None:
    (directory / "metrics.jsonl").unlink()
    (directory / "metrics.jsonl").symlink_to("/etc/hostname")


def linked_folder(directory: Path) -> None:
    shutil.rmtree(directory / "checkpoints")
    (directory / "checkpoints").symlink_to("/etc")


def special_file(directory: Path) -> None:
    os.mkfifo(directory / "pipe")


def renamed(directory: Path) -> None:
    directory.rename(directory.with_name("words-tiny-model-xl-lr0.003-0-00000000"))


def no_run(directory: Path) -> None:
    for path in directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (directory / "x").write_text("x")


DIRECTORIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "damaged": (damaged, "SHA-256"),
    "linked file": (linked_file, "a link or special file"),
    "linked folder": (linked_folder, "a link or special file"),
    "special file": (special_file, "a link or special file"),
    "renamed": (renamed, "which its name does not end with"),
    "no run": (no_run, "not a run directory"),
}


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_hostile_directories_are_refused(
    run: RunRecord, other: Path, tmp_path: Path, kind: str
) -> None:
    change, reason = DIRECTORIES[kind]
    copy = Path(shutil.copytree(run.directory, tmp_path / "copy" / run.name))
    change(copy)
    (source,) = (tmp_path / "copy").iterdir()
    done = lab("runs", "import", source, cwd=other, code=2)
    assert reason in done.stderr
    assert left_in(other) == []


def entry(name: str, data: bytes = b"x", **values: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, b"", type=kind, linkname=target)


ENTRIES = {
    "parent": [entry("run/../../escaped")],
    "only a parent": [entry("../escaped")],
    "absolute": [entry("/var/escaped-from-import")],
    "backslash": [entry("run/a\\b")],
    "control character": [entry("run/a\nb")],
    "deep": [entry("run/" + "a/" * 9 + "b")],
    "symbolic link": [link("run/metrics.jsonl", "/etc/hostname", tarfile.SYMTYPE)],
    "link, then a file behind it": [
        link("run/checkpoints", "/var", tarfile.SYMTYPE),
        entry("run/checkpoints/escaped"),
    ],
    "hard link": [link("run/metrics.jsonl", "/etc/hostname", tarfile.LNKTYPE)],
    "device": [entry("run/disk", b"", type=tarfile.BLKTYPE)],
    "pipe": [entry("run/pipe", b"", type=tarfile.FIFOTYPE)],
    "two runs": [entry("run/x"), entry("run2/x")],
    "no folder": [entry("config.toml")],
    "twice": [entry("run/x"), entry("run/x")],
    "hidden folder": [entry("../.hidden")],
    "nothing": [],
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_hostile_archives_are_refused(other: Path, tmp_path: Path, kind: str) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    path = other / "hostile.tar"
    with tarfile.open(path, "w") as archive:
        for info, data in ENTRIES[kind]:
            archive.addfile(info, io.BytesIO(data))
    done = lab("runs", "import", path, cwd=other, code=2)
    assert done.stderr.startswith("error: ")
    assert left_in(other) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not Path("/var/escaped-from-import").exists()


def test_sizes_are_limited(other: Path) -> None:
    path = other / "large.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(*map_to_file(entry("run/x", b"\0" * 3_000_000)))
    done = lab("runs", "import", path, "--max-gib", "0.002", cwd=other, code=2)
    assert "holds more than 0.002" in done.stderr
    assert "raise --max-gib" in done.stderr
    assert left_in(other) == []


def test_the_number_of_entries_is_limited(other: Path, monkeypatch) -> None:
    assert Limits(n_bytes=1).n_files == 20_000
    monkeypatch.setattr(Limits.__init__, "__defaults__", (1_000,))
    path = other / "many.tar.gz"
    for n_files in (1_000, 1_001):
        with tarfile.open(path, "w:gz") as archive:
            for number in range(n_files):
                archive.addfile(*map_to_file(entry(f"run/{number}", b"")))
        done = lab("runs", "import", path, cwd=other, code=2)
        assert ("holds more than 1,000 entries" in done.stderr) == (n_files == 1_001)
    assert left_in(other) == []


def map_to_file(one: tuple[tarfile.TarInfo, bytes]) -> tuple[tarfile.TarInfo, io.BytesIO]:
    return one[0], io.BytesIO(one[1])


def test_a_header_that_would_fill_the_memory_is_refused(other: Path) -> None:
    info = tarfile.TarInfo("run/x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 34
    path = other / "bomb.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf() + b"\0" * 4_000_000))
    assert "not an intact tar archive" in lab("runs", "import", path, cwd=other, code=2).stderr


@pytest.mark.parametrize("data", [b"", b"not an archive", b"\x1f\x8bgarbage", b"BZgarbage"])
def test_what_is_no_archive_is_one_error(other: Path, data: bytes) -> None:
    path = other / "x.tar.gz"
    path.write_bytes(data)
    done = lab("runs", "import", path, cwd=other, code=2)
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert "no such file" in lab("runs", "import", "missing", cwd=other, code=2).stderr


def test_the_plugin_of_a_foreign_run_is_not_loaded(
    workspace: Workspace, tiny_config, other: Path, tmp_path: Path
) -> None:
    from switchhead_lab.config.files import parse
    from switchhead_lab.config.plugins import loaded_plugins, unload_plugin
    from switchhead_lab.config.schema import RunConfig
    from switchhead_lab.frozen_model import rebuild_schemas

    mark = tmp_path / "loaded"
    plugin = (Path(__file__).parents[1] / "plugins/my_variants.py").read_text()
    hostile = f"{plugin}\nopen({str(mark)!r}, 'w').close()\n"
    (workspace.root / "my_variants.py").write_text(hostile)
    (workspace.root / "lab.toml").write_text(f'{SETTINGS}plugins = ["my_variants.py"]\n')
    opened = find_workspace(workspace.root, environment={})
    tree = tiny_config().model_dump(mode="json")
    attention = {"kind": "my_grouped_query", "n_heads": 4, "n_groups": 2, "d_head": 4}
    tree["model"]["attention"] = attention
    run = train(opened, parse(RunConfig, tree, "test"))
    for loaded in loaded_plugins():
        unload_plugin(loaded)
    rebuild_schemas()
    mark.unlink()
    done = lab("runs", "import", run.directory, cwd=other, code=2)
    assert "a plugin has to be in `plugins` of lab.toml, so read its file first" in done.stderr
    assert not mark.exists()
    (other / "my_variants.py").write_text(plugin)
    (other / "lab.toml").write_text(f'{SETTINGS}plugins = ["my_variants.py"]\n')
    lab("runs", "import", run.directory, cwd=other)
    lab("verify", cwd=other)
    assert not mark.exists()


def test_an_imported_run_waits_for_mlflow(run: RunRecord, other: Path) -> None:
    (other / "lab.toml").write_text('device = "cpu"\n')
    done = lab("runs", "import", run.directory, cwd=other)
    assert "it is not in MLflow yet: lab runs sync" in done.stdout
    assert "1 run is not in MLflow yet" in lab("runs", "list", cwd=other).stdout
    lab("runs", "sync", "--unsynced", cwd=other)
    assert "not in MLflow" not in lab("runs", "list", cwd=other).stdout
