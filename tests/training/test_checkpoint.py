import hashlib
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from disk_faults import fail_disk_call, file_size_limit, umask
from safetensors.torch import save_file

from switchhead_lab.config.identity import hash_of
from switchhead_lab.errors import RecordError, StorageError, TrainingError
from switchhead_lab.training.checkpoint import (
    load_checkpoint,
    load_latest,
    recorded_digest,
    remove_leftovers,
    save_checkpoint,
    snapshot,
)
from switchhead_lab.training.checkpoint_manifest import DamagedCheckpointError, Progress
from switchhead_lab.training.checkpoint_parts import write_parts

RUN, OTHER_RUN = "a" * 64, "b" * 64
Usage = namedtuple("Usage", "total used free")


def save(directory: Path, step: int, run_hash: str = RUN) -> Path:
    progress = Progress(step, 10 * step, 0.5 * step)
    return save_checkpoint(directory, progress, {"w": torch.full((3,), float(step))}, run_hash)


def step_of_latest(directory: Path) -> int:
    loaded = load_latest(directory, RUN)
    return 0 if loaded is None else loaded[0].step


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_latest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    for step in (2, 4, 6):
        save(tmp_path, step)
    loaded = load_latest(tmp_path, RUN)
    assert loaded is not None
    assert loaded[0] == Progress(6, 60, 3.0)
    assert torch.equal(loaded[1]["w"], torch.full((3,), 6.0))
    assert names_in(tmp_path) == ["step-00000004", "step-00000006"]


def edit_manifest(path: Path, **values: object) -> None:
    """Change fields of a manifest without updating its hash."""
    manifest = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    (path / "checkpoint.json").write_text(json.dumps(manifest | values), encoding="utf-8")


def sign(path: Path, **values: object) -> None:
    """Change fields of a manifest and update its hash."""
    manifest = json.loads((path / "checkpoint.json").read_text(encoding="utf-8")) | values
    del manifest["manifest_sha256"]
    edit_manifest(path, **values, manifest_sha256=hash_of(manifest))


def replace_tensors(path: Path, contents: bytes) -> None:
    """Replace the tensors and update the manifest to match."""
    (path / "tensors.safetensors").write_bytes(contents)
    sign(path, sha256=hashlib.sha256(contents).hexdigest())


def flip(path: Path) -> None:
    contents = bytearray((path / "tensors.safetensors").read_bytes())
    contents[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(contents)


def truncate(path: Path) -> None:
    tensors = path / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-4])


def poison(path: Path) -> None:
    save_file({"w": torch.tensor([1.0, float("nan")])}, path / "tensors.safetensors")
    replace_tensors(path, (path / "tensors.safetensors").read_bytes())


def make_folder_of_tensors(path: Path) -> None:
    (path / "tensors.safetensors").unlink()
    (path / "tensors.safetensors").mkdir()


def write_manifest(contents: bytes) -> Callable[[Path], object]:
    return lambda path: (path / "checkpoint.json").write_bytes(contents)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "SHA-256 of tensors.safetensors differs": flip,
    "SHA-256 of tensors.safetensors differs from": truncate,
    "No such file": lambda path: (path / "tensors.safetensors").unlink(),
    "Is a directory": make_folder_of_tensors,
    "w is not finite": poison,
    "deserializing header": lambda path: replace_tensors(path, b"\xff\0\0\0\0\0\0\0{"),
    "header too small": lambda path: replace_tensors(path, b""),
    "checkpoint.json: checkpoint damaged: Expecting": write_manifest(b"{"),
    "can't decode": write_manifest(b'{"\xff": 1}'),
    "recursion": write_manifest(b"[" * 100_000),
    "checkpoint.json: checkpoint damaged: Input should be an object": write_manifest(b"[1]"),
    "its SHA-256 differs": lambda path: edit_manifest(path, tokens=41),
    "its SHA-256 differs ": lambda path: edit_manifest(path, seconds=2.5),
    "step 5 differs from the folder's": lambda path: sign(path, step=5),
    "step: Input should be greater than": lambda path: sign(path, step=-4),
    "step: Input should be a valid integer": lambda path: sign(path, step="4"),
    "sha256: Input should be a valid string": lambda path: sign(path, sha256=None),
    "surprise: Extra inputs": lambda path: sign(path, surprise=1),
    "format 4 is newer than 3": lambda path: sign(path, format=4),
    "its SHA-256 differs  ": lambda path: edit_manifest(path, manifest_sha256=""),
    "checkpoint of another run (bbbbbbbb": lambda path: sign(path, run_hash=OTHER_RUN),
}


@pytest.mark.parametrize("reason", list(DAMAGES))
def test_an_unusable_checkpoint_is_skipped_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    save(tmp_path, 2)
    path = save(tmp_path, 4)
    assert step_of_latest(tmp_path) == 4
    DAMAGES[reason](path)
    with pytest.raises(DamagedCheckpointError, match="step-00000004"):
        load_checkpoint(path, RUN)
    assert step_of_latest(tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: skipped: ")
    assert "step-00000004" in line
    assert reason.strip() in line
    assert line.endswith("; using the previous one")


def test_without_an_intact_checkpoint_training_starts_from_scratch(tmp_path: Path, capsys) -> None:
    flip(save(tmp_path, 2))
    assert load_latest(tmp_path, RUN) is None
    assert capsys.readouterr().err.endswith("; training starts from scratch\n")


def test_a_checkpoint_that_does_not_fit_the_model_is_skipped(tmp_path: Path, capsys) -> None:
    save(tmp_path, 2)
    save(tmp_path, 4)
    loaded = load_latest(tmp_path, RUN, lambda progress, _: "bad" if progress.step == 4 else "")
    assert loaded is not None
    assert loaded[0].step == 2
    assert "step-00000004: checkpoint does not fit this run: bad;" in capsys.readouterr().err


@pytest.mark.parametrize("dropped", [(), ("unlogged_loss_nats", "unlogged_targets")])
def test_format_1_checkpoints_are_read(tmp_path: Path, dropped: tuple[str, ...]) -> None:
    path = save(tmp_path, 4)
    manifest = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    for name in ("format", "run_hash", "manifest_sha256", *dropped):
        del manifest[name]
    (path / "checkpoint.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert load_checkpoint(path, RUN)[0] == Progress(4, 40, 2.0)
    edit_manifest(path, step=5)
    with pytest.raises(DamagedCheckpointError, match="step 5 differs"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize("place", ["", "step-00000004", "checkpoint.json", "tensors.safetensors"])
def test_a_checkpoint_without_read_permission_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It may be intact, and retraining would replace it. (Root can read everything.)"""
    save(tmp_path, 4)
    for name in ("stat", "iterdir", "open"):
        original = getattr(Path, name)

        def guarded(path: Path, *arguments, original=original, name=name, **keywords):
            is_entry = path.name == place and (name != "stat" or path.suffix)
            is_inside = path.parent.name == place
            is_listing = not place and (path == tmp_path and name == "iterdir")
            readable_stat = name == "stat" and not is_inside
            if is_listing or ((is_entry or is_inside) and not readable_stat):
                raise PermissionError(13, "Permission denied", str(path))
            return original(path, *arguments, **keywords)

        monkeypatch.setattr(Path, name, guarded)
    with pytest.raises(RecordError, match="cannot be read: Permission denied; .*chmod"):
        load_latest(tmp_path, RUN)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_values_are_not_saved(value: float) -> None:
    good, bad = torch.zeros(3), torch.tensor([1.0, value])
    with pytest.raises(TrainingError, match="^bad is not finite after step 4; no checkpoint"):
        snapshot(4, {"good": good, "bad": bad})


def test_large_finite_values_and_counters_are_saved(tmp_path: Path) -> None:
    large = torch.full((9,), torch.finfo(torch.float32).max)
    tensors = {"large": large, "n": torch.tensor(3), "flag": torch.tensor([True])}
    copies = snapshot(4, tensors)
    saved = load_checkpoint(save_checkpoint(tmp_path, Progress(4), copies, RUN))[1]
    assert all(torch.equal(saved[name], tensors[name]) for name in tensors)


def test_a_snapshot_is_a_contiguous_copy() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    copy = snapshot(1, {"w": tensor})["w"]
    tensor.zero_()
    assert copy.is_contiguous()
    assert copy.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


# Order of a save: sync the tensors, the manifest and their folder, rename the folder, sync its
# parent.
@pytest.mark.parametrize(
    ("call", "number"), [("mkdir", 0), ("fsync", 0), ("fsync", 1), ("fsync", 2), ("rename", 0)]
)
def test_a_failed_save_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    save(tmp_path, 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        fail_disk_call(patch, call, number)
        with pytest.raises(StorageError, match="step-00000004: cannot be written: No space"):
            save(tmp_path, 4)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    assert names_in(tmp_path) == ["step-00000002"]
    assert step_of_latest(tmp_path) == 2
    save(tmp_path, 4)
    assert step_of_latest(tmp_path) == 4


def test_a_checkpoint_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut could leave the renamed folder with empty files."""
    events: list[str] = []
    fsync, rename = os.fsync, os.rename

    def log_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        events.append(path.name if path.suffix in (".safetensors", ".json") else path.suffix)
        fsync(descriptor)

    def log_rename(source: Path, target: Path) -> None:
        events.append("rename")
        rename(source, target)

    save(tmp_path, 2)
    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "rename", log_rename)
    save(tmp_path, 4)
    assert events == ["tensors.safetensors", "checkpoint.json", ".tmp", "rename", ""]


def test_tensors_larger_than_the_limit_leave_no_files(tmp_path: Path) -> None:
    save(tmp_path, 2)
    with file_size_limit(100), pytest.raises(StorageError, match=r"too large; [\d,]+ bytes needed"):
        save(tmp_path, 4)
    assert names_in(tmp_path) == ["step-00000002"]


def test_free_space_is_checked_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, 2)
    needed = sum(file.stat().st_size for file in path.iterdir())
    # The size is known in advance, except the header, which has an upper bound.
    for free, fits in ((needed - 1, False), (needed + 5000, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: Usage(10**9, 0, free))
        if fits:
            assert save(tmp_path, 4).is_dir()
            continue
        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("begun"))
            with pytest.raises(StorageError, match=f"bytes needed, {free} bytes free"):
                save(tmp_path, 4)


def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    with umask(0o002):
        path = save(tmp_path, 2)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o664}
    assert path.stat().st_mode & 0o777 == 0o775


def test_only_leftovers_of_killed_saves_are_removed(tmp_path: Path) -> None:
    good = save(tmp_path, 2)
    for name in ("step-00000004", "step-00000006", "step-00000008", ".step-00000010.0f.tmp"):
        shutil.copytree(good, tmp_path / name)
    (tmp_path / "step-00000004" / "checkpoint.json").unlink()
    (tmp_path / "step-00000006" / "checkpoint.json").rename(tmp_path / "step-00000006" / "notes")
    shutil.rmtree(tmp_path / "step-00000008")
    for name in ("step-00000008", ".step-00000012.tmp", "step-best", ".mine.tmp", "best.tmp"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path)
    expected = [".mine.tmp", "best.tmp", "step-00000002", "step-00000006", "step-best"]
    assert names_in(tmp_path) == expected
    remove_leftovers(tmp_path / "missing")


def test_a_skipped_checkpoint_is_replaced_and_later_ones_are_kept(tmp_path: Path) -> None:
    for step in (2, 4):
        save(tmp_path, step)
    other = save(tmp_path / "other", 8, OTHER_RUN)
    other.rename(tmp_path / other.name)
    (tmp_path / "other").rmdir()
    flip(tmp_path / "step-00000004")
    assert step_of_latest(tmp_path) == 2
    save(tmp_path, 4)
    assert step_of_latest(tmp_path) == 4
    save(tmp_path, 6)
    assert names_in(tmp_path) == ["step-00000004", "step-00000006", "step-00000008"]
    assert step_of_latest(tmp_path) == 6


def test_failing_to_remove_an_old_checkpoint_does_not_end_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (2, 4):
        save(tmp_path, step)
    with monkeypatch.context() as patch:
        fail_disk_call(patch, "rename", 1)
        save(tmp_path, 6)
    assert names_in(tmp_path) == ["step-00000002", "step-00000004", "step-00000006"]
    save(tmp_path, 8)
    assert names_in(tmp_path) == ["step-00000006", "step-00000008"]


def test_parts_are_verified_and_read_as_one(tmp_path: Path) -> None:
    state = {"model.weight": torch.randn(5, 3), "optimizer.weight.step": torch.tensor(4.0)}
    own = {"memory.0000.0000": torch.randn(2, 3)}
    path = save_checkpoint(
        tmp_path, Progress(step=4), own, RUN, lambda folder: write_parts(folder, state)
    )
    found = load_checkpoint(path, RUN)[1]
    expected = {**own, **state}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    whole = recorded_digest(path)
    (part,) = path.glob("shard-*.safetensors")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedCheckpointError, match=f"SHA-256 of {part.name} differs"):
        load_checkpoint(path, RUN)
    assert recorded_digest(path) == whole


def test_parts_that_cannot_be_written_are_the_disks_fault(tmp_path: Path) -> None:
    with file_size_limit(100), pytest.raises(OSError, match="File too large"):
        write_parts(tmp_path, {"model.weight": torch.zeros(2000)})
