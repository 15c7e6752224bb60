"""Runs of other hosts are fetched after all checks; what is damaged changes nothing here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import lab
from object_store import second_host, with_store
from tiny_runs import StopAtFour, train, trained_once

from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.token_store import register
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.artifact_store import ArtifactStore
from switchhead_lab.tracking.artifact_upload import not_uploaded, upload_run
from switchhead_lab.tracking.record import RunRecord, read_run
from switchhead_lab.tracking.stored_run import StoredRun, find_stored
from switchhead_lab.tracking.sweep_record import SweepMember
from switchhead_lab.upkeep.fetching import RunFetcher


@pytest.fixture
def first(workspace: Workspace, tmp_path: Path) -> Workspace:
    return with_store(workspace, f"file://{tmp_path}/store")


@pytest.fixture
def store(first: Workspace) -> ArtifactStore:
    return ArtifactStore(first.settings.artifacts_uri)


@pytest.fixture
def run(first: Workspace, store: ArtifactStore, tiny_config) -> RunRecord:
    """A run of the first host, in the store."""
    found = trained_once(first, tiny_config())
    upload_run(store, found.directory)
    return found


@pytest.fixture
def second(first: Workspace, tmp_path: Path) -> Workspace:
    return second_host(first, tmp_path / "second")


@pytest.fixture
def stored(run: RunRecord, store: ArtifactStore) -> StoredRun:
    found = find_stored(store, run.name).run
    assert found is not None
    return found


def bring(workspace: Workspace, reference: str, *, weights: bool = False) -> None:
    RunFetcher(workspace, lambda _line: None).bring(reference, weights=weights)


def member_of(run: RunRecord) -> SweepMember:
    return SweepMember(
        model="model",
        role="declared",
        seed=0,
        run_name=run.name,
        run_hash=run.run_hash,
        state="finished",
    )


def left_in(workspace: Workspace) -> list[str]:
    names = {path.name for path in workspace.runs_dir.glob("*")}
    return sorted(name for name in names if not name.endswith(".lock"))


def seal(store: ArtifactStore, stored: StoredRun, **update: object) -> None:
    """Replace the marker of a run by another intact one."""
    changed = stored.model_copy(update=update).sealed()
    store.write(stored.marker, changed.as_bytes())


def test_a_run_is_fetched_without_weights_and_then_with_them(run, second) -> None:
    done = lab("runs", "show", run.run_hash[:6], cwd=second.root)
    assert run.name in done.stdout
    assert f"{run.name}: fetched from file://" in done.stderr
    copy = second.runs_dir / run.name
    assert not (copy / "checkpoints").exists()
    assert read_run(copy).result == run.result
    assert json.loads((copy / "import.json").read_text())["source"].endswith(f"runs/{run.name}/1")
    assert not_uploaded(second.runs_dir, second.settings.artifacts_uri) == []
    bring(second, run.name, weights=True)
    for path in (run.directory / "checkpoints").rglob("*.*"):
        assert (copy / path.relative_to(run.directory)).read_bytes() == path.read_bytes()
    assert "passed" in lab("verify", run.name, cwd=second.root).stdout
    assert not_uploaded(second.runs_dir, second.settings.artifacts_uri) == []


def test_commands_fetch_the_weights_that_they_need(run, second, write_corpus, tmp_path) -> None:
    register(second.data_dir, write_corpus(tmp_path / "words.txt"), "words")
    lab("export", run.name, "--out", tmp_path / "model", cwd=second.root)
    assert (second.runs_dir / run.name / "checkpoints").is_dir()
    assert "identical" in lab("reproduce", run.name, cwd=second.root).stdout


@pytest.mark.parametrize("weights", [False, True])
def test_a_model_starts_from_fetched_weights(
    run, second, write_corpus, tmp_path, tiny_config, weights: bool
) -> None:
    from switchhead_lab.config.files import to_toml

    register(second.data_dir, write_corpus(tmp_path / "words.txt"), "words")
    if weights:
        bring(second, run.name)
    (second.root / "run.toml").write_text(to_toml(tiny_config(seed=1, n_steps=1, n_warmup_steps=0)))
    done = lab("train", "run.toml", "--set", f"initial_weights={run.name}", cwd=second.root)
    assert f"starts from the weights of {run.name}" in done.stderr


def test_a_run_of_this_host_is_left_alone(run, first, store, second) -> None:
    before = (run.directory / "status.json").stat()
    bring(first, run.name, weights=True)
    assert (run.directory / "status.json").stat() == before
    bring(second, "unknown")
    bring(second, "../outside")
    assert left_in(second) == []


def damaged_object(store: ArtifactStore, stored: StoredRun) -> str:
    store.write(stored.key("result.json"), b"{}")
    return "result.json.*damaged: 2 bytes, complete.json has"


def flipped_bytes(store: ArtifactStore, stored: StoredRun) -> str:
    key = stored.key("metrics.jsonl")
    store.write(key, bytes(reversed(store.read(key) or b"")))
    return "metrics.jsonl.*damaged: SHA-256"


def missing_object(store: ArtifactStore, stored: StoredRun) -> str:
    Path(store.where(stored.key("config.toml")).removeprefix("file://")).unlink()
    return "config.toml.*damaged: the object is missing"


def damaged_marker(store: ArtifactStore, stored: StoredRun) -> str:
    store.write(stored.marker, b"{")
    return "complete.json: damaged: Invalid JSON"


def edited_marker(store: ArtifactStore, stored: StoredRun) -> str:
    store.write(stored.marker, stored.as_bytes().replace(b'"finished"', b'"failed"'))
    return "complete.json: damaged: its SHA-256 differs"


def marker_of_another_run(store: ArtifactStore, stored: StoredRun) -> str:
    seal(store, stored, attempt=2)
    return "complete.json: damaged: it is of attempt 2"


def path_out_of_the_folder(store: ArtifactStore, stored: StoredRun) -> str:
    seal(store, stored, files={**stored.files, "../../evil.py": stored.files["config.toml"]})
    return "complete.json: '../../evil.py' is not a path in a run directory"


def no_marker(store: ArtifactStore, stored: StoredRun) -> str:
    Path(store.where(stored.marker).removeprefix("file://")).unlink()
    return "the upload is not complete; on the host that trained the run, use `lab doctor --fix`"


def other_identity(store: ArtifactStore, stored: StoredRun) -> str:
    """A consistent upload of a run whose name is not that of its configuration."""
    import hashlib

    text = (store.read(stored.key("config.toml")) or b"").replace(b"seed = 0", b"seed = 7")
    changed = stored.files["config.toml"].model_copy(
        update={"sha256": hashlib.sha256(text).hexdigest()}
    )
    files = {**stored.files, "config.toml": changed}
    seal(store, stored, files=files)
    store.write(stored.model_copy(update={"files": files}).key("config.toml"), text)
    return "not imported: .* of .* checks failed"


@pytest.mark.parametrize(
    "damage",
    [
        *(damaged_object, flipped_bytes, missing_object, damaged_marker, edited_marker),
        *(marker_of_another_run, path_out_of_the_folder, no_marker, other_identity),
    ],
)
def test_what_is_damaged_is_refused_and_leaves_nothing(
    run, store, stored, second, damage: Callable[[ArtifactStore, StoredRun], str]
) -> None:
    expected = damage(store, stored)
    with pytest.raises(RecordError, match=expected):
        bring(second, run.name)
    assert left_in(second) == []


def test_a_damaged_run_is_exit_code_2_and_costs_no_other(
    run, first, store, stored, second, tiny_config
) -> None:
    damaged_object(store, stored)
    done = lab("runs", "show", run.name, cwd=second.root, code=2)
    assert "Delete the object, then `lab doctor --fix` on the host that trained" in done.stderr
    good = trained_once(first, tiny_config(seed=1))
    upload_run(store, good.directory)
    members = [member_of(run), member_of(good)]
    with pytest.raises(RecordError, match="damaged: 2 bytes") as error:
        RunFetcher(second, lambda _line: None).bring_members(members)
    assert "\n" not in str(error.value), "one message for each damaged run"
    assert left_in(second) == [good.name]


def test_weights_of_another_training_are_not_mixed_in(run, store, stored, second) -> None:
    bring(second, run.name)
    path = second.runs_dir / run.name / "result.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(RecordError, match="another run of the same configuration"):
        bring(second, run.name, weights=True)


def test_a_run_that_is_unfinished_here_is_replaced(
    first, store, tiny_config, run, second, write_corpus, tmp_path
) -> None:
    register(second.data_dir, write_corpus(tmp_path / "words.txt"), "words")
    with pytest.raises(KeyboardInterrupt):
        train(second, tiny_config(), [StopAtFour()])
    fetcher = RunFetcher(second, lambda _line: None)
    fetcher.bring(run.name)
    assert read_run(second.runs_dir / run.name).result is None, "named ones stay as they are"
    fetcher.bring_members([member_of(run)])
    assert read_run(second.runs_dir / run.name).result == run.result
    assert len(list((second.runs_dir / "superseded").iterdir())) == 1


def test_several_matches_are_named(run, store, second) -> None:
    store.write(f"runs/other-{run.run_hash[:8]}/1/complete.json", b"")
    with pytest.raises(RecordError, match="matches several runs in file://"):
        bring(second, run.run_hash[:4])
