"""Data sets, checkpoints and reports, as MLflow shows them."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow_runs import all_runs, find_run, find_sweep
from run_makers import MakeRun, WriteSweep

from switchhead_lab.tracking.mlflow_index import MlflowIndex, sync_run
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunRecord, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id


@pytest.fixture
def synced(index: MlflowIndex, make_run: MakeRun) -> RunRecord:
    """A copied run with a checkpoint."""
    record = make_run()
    (record.directory / "checkpoints" / "step-00000006").mkdir(parents=True)
    manifest = {
        "digest": "d" * 64,
        "source_sha256": "abc",
        "splits": {"train": {"n_tokens": 900}, "test": {"n_tokens": 80}},
    }
    path = record.directory / "provenance.json"
    provenance = {**json.loads(path.read_text(encoding="utf-8")), "data_manifest": manifest}
    path.write_text(json.dumps(provenance), encoding="utf-8")
    record = read_run(record.directory)
    assert sync_run(index, record)
    return record


def models(store: MlflowStore) -> list[Any]:
    return list(store.client.search_logged_models([store.experiment_id]))


def test_the_data_set_of_a_run_is_its_input(store: MlflowStore, synced: RunRecord) -> None:
    (found,) = find_run(store, synced).inputs.dataset_inputs
    assert found.dataset.name == "words"
    assert found.dataset.digest == "d" * 36
    assert json.loads(found.dataset.profile)["tokens"] == {"train": 900, "test": 80}
    assert json.loads(found.dataset.source) == {"corpus": "words", "sha256": "abc"}


def test_the_final_checkpoint_is_its_model(store: MlflowStore, synced: RunRecord) -> None:
    (model,) = models(store)
    run = find_run(store, synced)
    (output,) = run.outputs.model_outputs
    assert (output.model_id, output.step) == (model.model_id, 6)
    assert (model.name, model.source_run_id) == (synced.labels.variant, run.info.run_id)
    assert model.tags["lab.checkpoints"] == str(synced.directory / "checkpoints")
    assert model.params["open"] == f'switchhead_lab.open_run("{synced.name}").model()'


def test_both_are_linked_once(index: MlflowIndex, store: MlflowStore, synced: RunRecord) -> None:
    store.client.set_tag(find_run(store, synced).info.run_id, "lab.obsolete", "1")
    assert sync_run(index, synced)
    run = find_run(store, synced)
    assert (
        len(run.inputs.dataset_inputs) == len(run.outputs.model_outputs) == len(models(store)) == 1
    )


def test_a_rebuilt_run_leaves_no_model_behind(
    index: MlflowIndex, store: MlflowStore, synced: RunRecord
) -> None:
    before = find_run(store, synced)
    store.log(before.info.run_id, [("train/loss_nats", 9.0, 1, 1)])
    assert sync_run(index, synced)
    after = find_run(store, synced)
    assert after.info.run_id != before.info.run_id
    assert [model.source_run_id for model in models(store)] == [after.info.run_id]


def test_a_run_without_a_checkpoint_or_a_result_has_no_model(
    index: MlflowIndex, store: MlflowStore, make_run: MakeRun
) -> None:
    assert sync_run(index, make_run(seed=1))
    failed = make_run("failed", seed=2)
    (failed.directory / "checkpoints").mkdir()
    assert sync_run(index, failed)
    assert len(all_runs(store)) == 2
    assert models(store) == []


@pytest.fixture
def sweep(
    index: MlflowIndex, runs_dir: Path, make_run: MakeRun, write_sweep: WriteSweep
) -> SweepRecord:
    record = write_sweep("sweep", [make_run()])
    folder = SweepDir.of(runs_dir, record.sweep).path
    index.start_sweep(record, folder)
    index.finish_sweep(folder, "finished")
    return record


def report(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def artifacts(store: MlflowStore, sweep: SweepRecord) -> list[str]:
    run_id = find_sweep(store, sweep).info.run_id
    return [file.path for file in store.client.list_artifacts(run_id, "report")]


def test_a_report_replaces_the_earlier_one(
    index: MlflowIndex, store: MlflowStore, sweep: SweepRecord, tmp_path: Path
) -> None:
    name = sweep_id(sweep.sweep)
    index.attach_report(name, report(tmp_path / "one", report="first", old="x"), "undecided")
    index.attach_report(name, report(tmp_path / "two", report="second"), "**supported**")
    assert artifacts(store, sweep) == ["report/report.md"]
    run = find_sweep(store, sweep)
    assert run.data.tags["mlflow.note.content"].endswith("**supported**")
    # A replay keeps both.
    index.replay_sweep(SweepDir.of(tmp_path / "runs", sweep.sweep).path, "finished")
    assert find_sweep(store, sweep).info.run_id == run.info.run_id
    assert artifacts(store, sweep) == ["report/report.md"]


def test_a_users_description_stays(
    index: MlflowIndex, store: MlflowStore, sweep: SweepRecord, tmp_path: Path
) -> None:
    store.client.set_tag(find_sweep(store, sweep).info.run_id, "mlflow.note.content", "mine")
    index.attach_report(sweep_id(sweep.sweep), report(tmp_path / "one", report="a"), "theirs")
    assert find_sweep(store, sweep).data.tags["mlflow.note.content"] == "mine"


def test_a_sweep_that_mlflow_does_not_have_gets_none(
    index: MlflowIndex, store: MlflowStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.attach_report("unknown-tiny-0", report(tmp_path / "one", report="a"), "note")
    assert all_runs(store) == []
    assert capsys.readouterr().err == ""
