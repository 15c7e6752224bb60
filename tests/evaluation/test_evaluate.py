"""Evaluations of trained runs: records, resumption, comparison, errors."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import train

from switchhead_lab.errors import ConfigError, DataError, RecordError
from switchhead_lab.evaluation import evaluate, sources
from switchhead_lab.evaluation.documents.cbt import BLANK
from switchhead_lab.evaluation.documents.task_documents import TaskDocuments
from switchhead_lab.evaluation.evaluate import evaluate_tasks
from switchhead_lab.evaluation.evaluated import evaluate_model, find_evaluated
from switchhead_lab.evaluation.language_models import model_of_run
from switchhead_lab.evaluation.tasks import find_tasks
from switchhead_lab.reporting.zero_shot_compare import compare_results
from switchhead_lab.tracking import evaluations
from switchhead_lab.tracking.evaluations import (
    Estimate,
    TaskResult,
    evaluation_dir,
    group_estimates,
    read_samples,
    read_task_result,
    read_task_results,
)
from switchhead_lab.tracking.mlflow_fields import result_rows
from switchhead_lab.trained.exporting import export_run
from switchhead_lab.trained.run import open_run

PAIRS = [
    {"sentence_good": f"we {verb} the law", "sentence_bad": f"we the {verb} law"}
    for verb in ("keep", "make", "read", "want", "give", "take")
]
NAMES = ["blimp_transitive", "blimp_wh_island", "lambada_openai"]


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the documents of all tasks by a few; collect the tasks that ask for them."""
    asked: list[str] = []

    def read(task, _data_root) -> TaskDocuments:
        asked.append(task.name)
        found = PAIRS if task.kind == "minimal pairs" else [{"text": "one two three"}] * 3
        return TaskDocuments(task.name, tuple(found), "a" * 64, "/somewhere/file.jsonl", "1")

    monkeypatch.setattr(evaluate, "read_documents", read)
    return asked


@pytest.fixture(autouse=True)
def _forget_documents() -> Iterator[None]:
    yield
    sources.read_documents.cache_clear()


@pytest.fixture
def run(workspace, tiny_config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LAB_HOME", str(workspace.root))
    return open_run(train(workspace, tiny_config("switchhead")).name)


def test_results_are_recorded_with_what_they_follow_from(run, documents) -> None:
    found = find_evaluated(run.name)
    results = evaluate_model(found, find_tasks(NAMES))
    assert [result.task for result in results] == ["lambada_openai", *NAMES[:2]]
    lambada, pairs, _ = results
    assert found.directory == evaluation_dir(run.record.directory)
    assert read_task_results(found.directory) == sorted(results, key=lambda one: one.task)
    assert pairs.documents == "file.jsonl"
    assert (pairs.n_documents, pairs.chance, lambada.chance) == (6, 0.5, None)
    assert (pairs.precision, len(pairs.weights_id), pairs.harness[:2]) == ("fp32", 64, "0.")
    samples = read_samples(found.directory, "blimp_transitive")
    right = [sample.nats[0] > sample.nats[1] for sample in samples]
    assert pairs.metrics["acc"].value == pytest.approx(sum(right) / 6)
    # Three equal documents have no spread.
    perplexity = lambada.metrics["perplexity"]
    assert perplexity.value > 1.0
    assert perplexity.stderr < 1e-5 * perplexity.value


def test_finished_tasks_are_not_repeated(run, documents, monkeypatch) -> None:
    model, folder = model_of_run(run), evaluation_dir(run.record.directory)
    scored: list[str] = []
    original = evaluate.run_task

    def spy(model, task, *arguments, **options):
        scored.append(task.name)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return original(model, task, *arguments, **options)

    monkeypatch.setattr(evaluate, "run_task", spy)
    with pytest.raises(KeyboardInterrupt):
        list(evaluate_tasks(model, find_tasks(NAMES), folder))
    first = read_task_result(folder, "lambada_openai")
    results = list(evaluate_tasks(model, find_tasks(NAMES), folder))
    assert scored == ["lambada_openai", "blimp_transitive", "blimp_transitive", "blimp_wh_island"]
    assert results[0] == first


@pytest.mark.parametrize("moment", ["scoring", "samples", "result"])
def test_an_interrupted_evaluation_ends_like_an_undisturbed_one(
    run, documents, tmp_path: Path, monkeypatch, moment: str
) -> None:
    model, tasks = model_of_run(run), find_tasks(NAMES)
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "interrupted"
    list(evaluate_tasks(model, tasks, undisturbed))
    holder, name = {
        "scoring": (evaluate, "run_task"),
        "samples": (evaluations, "write_text"),
        "result": (evaluations, "write_text"),
    }[moment]
    # The second task: a task writes its samples, then its result.
    last = {"scoring": 2, "samples": 3, "result": 4}[moment]
    original, calls = getattr(holder, name), 0

    def interrupted(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == last:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(holder, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(evaluate_tasks(model, tasks, folder))
    assert [one.task for one in read_task_results(folder)] == ["lambada_openai"]
    assert (folder / "blimp_transitive.samples.jsonl").exists() == (moment == "result")
    list(evaluate_tasks(model, tasks, folder))
    assert contents_of(folder) == contents_of(undisturbed)


def contents_of(folder: Path) -> dict[str, str]:
    """Return the files of an evaluation by name, without wall times."""
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    return {name: re.sub(r'"seconds": .*', "", text) for name, text in texts.items()}


@pytest.mark.parametrize(
    "change", [{"weights_id": "b" * 64}, {"precision": "bf16"}, {"tokenizer_id": "c" * 64}]
)
def test_results_of_another_model_are_stale(run, documents, change) -> None:
    model, folder = model_of_run(run), evaluation_dir(run.record.directory)
    tasks = find_tasks(["blimp_transitive"])
    list(evaluate_tasks(model, tasks, folder))
    (again,) = evaluate_tasks(dataclasses.replace(model, **change), tasks, folder)
    assert {name: getattr(again, name) for name in change} == change
    assert read_task_result(folder, "blimp_transitive") == again


@pytest.mark.parametrize("change", [{"sha256": "b" * 64}, {"version": "2"}])
def test_results_for_other_documents_are_stale(run, documents, monkeypatch, change) -> None:
    model, folder = model_of_run(run), evaluation_dir(run.record.directory)
    tasks = find_tasks(["blimp_transitive"])
    (first,) = evaluate_tasks(model, tasks, folder)
    read = evaluate.read_documents
    monkeypatch.setattr(
        evaluate, "read_documents", lambda *given: dataclasses.replace(read(*given), **change)
    )
    (again,) = evaluate_tasks(model, tasks, folder)
    assert again.identity != first.identity
    assert again.metrics == first.metrics
    assert read_task_result(folder, "blimp_transitive") == again


def test_untrained_and_trained_models_differ_by_their_weights(
    run, workspace, tiny_config, documents
) -> None:
    other = open_run(train(workspace, tiny_config("switchhead", seed=1)).name)
    tasks = find_tasks(["blimp"])[:3]
    for one in (run, other):
        evaluate_model(find_evaluated(one.name), tasks)
    folders = [evaluation_dir(one.record.directory) for one in (run, other)]
    (found,) = compare_results(*folders)
    assert (found.name, found.n_tasks, found.n_documents) == ("blimp", 3, 18)
    (itself,) = compare_results(folders[0], folders[0])
    assert (itself.difference, itself.low, itself.high) == (0.0, 0.0, 0.0)
    assert found == compare_results(*folders)[0]
    assert found.low <= found.difference <= found.high


def test_a_comparison_needs_the_same_documents(run, documents, tmp_path: Path) -> None:
    evaluate_model(find_evaluated(run.name), find_tasks(["blimp_transitive"]))
    folder, copy = evaluation_dir(run.record.directory), tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / "blimp_transitive.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "documents_sha256": "b" * 64}))
    with pytest.raises(RecordError, match="not asked the same documents"):
        compare_results(folder, copy)
    path.unlink()
    with pytest.raises(RecordError, match="no task that both were evaluated on"):
        compare_results(folder, copy)


def test_damaged_samples_are_named(run, documents) -> None:
    evaluate_model(find_evaluated(run.name), find_tasks(["blimp_transitive"]))
    folder = evaluation_dir(run.record.directory)
    (folder / "blimp_transitive.samples.jsonl").write_text("{")
    with pytest.raises(RecordError, match=r"samples.jsonl: damaged; delete it and run `lab eval`"):
        read_samples(folder, "blimp_transitive")
    (folder / "blimp_transitive.json").write_text("{}")
    with pytest.raises(RecordError, match="blimp_transitive.json: damaged"):
        read_task_results(folder)


def _result(task: str, value: float, stderr: float) -> TaskResult:
    numbers = {"version": 1.0, "n_documents": 5, "seconds": 1.0, "chance": 0.5}
    texts = ("kind", "documents", "documents_version", "documents_sha256", "model")
    ids = ("weights_id", "tokenizer_id", "precision", "harness")
    metrics = {"acc": Estimate(value=value, stderr=stderr)}
    return TaskResult(
        task=task, group="blimp", metrics=metrics, **numbers, **dict.fromkeys((*texts, *ids), "x")
    )


def test_a_group_is_the_unweighted_mean() -> None:
    found = group_estimates([_result("a", 0.5, 0.03), _result("b", 0.7, 0.04)])
    assert found["blimp"].value == pytest.approx(0.6)
    assert found["blimp"].stderr == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blimp_transitve", 'did you mean "blimp_transitive"'),
        ("lambda", "tasks and groups: .*lambada_openai"),
    ],
)
def test_unknown_tasks_name_the_known_ones(name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        find_tasks(["pocket", name])


def test_groups_and_suites_stand_for_their_tasks() -> None:
    assert len(find_tasks(["blimp"])) == 67
    assert len(find_tasks(["paper"])) == 70
    pocket = find_tasks(["pocket"])
    assert all(task.name.startswith("pocket_") for task in pocket)
    assert find_tasks(["pocket_minimal_pairs"]) == pocket[3:]
    assert find_tasks(["pocket", "pocket_last_word"]) == pocket


def test_a_missing_data_root_is_found_before_anything_is_scored(run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; give the folder that holds"):
        evaluate_model(
            find_evaluated(run.name),
            find_tasks(["pocket_last_word", "blimp"]),
            data_root=tmp_path / "nowhere",
        )
    assert not evaluation_dir(run.record.directory).exists()


def test_without_a_data_root_the_hub_is_asked(monkeypatch) -> None:
    import datasets

    def fail(*_arguments, **_options):
        raise ConnectionError("no network\nmore")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ConfigError, match=r"cannot be fetched .*: no network; give .*--data-root"):
        sources.read_documents(find_tasks(["cbt_cn"])[0], None)


def test_documents_of_the_hub_become_those_of_local_files(monkeypatch) -> None:
    import datasets

    row = {
        "sentences": ["One .", "Two ."],
        "question": f"The {BLANK} ended .",
        "options": ["war", "law"],
        "answer": "law",
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda *_arguments, **_options: [row])
    found = sources.read_documents(find_tasks(["cbt_ne"])[0], None)
    assert found.documents == (
        {
            "context": "One . Two .",
            "query": f"The {BLANK} ended .",
            "candidates": ["war", "law"],
            "answer": 1,
        },
    )
    assert found.source == "cam-cst/cbt, NE"


def test_an_unknown_checkpoint_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such folder; give that of a Hugging Face checkpoint"):
        find_evaluated(f"hf:{tmp_path / 'nowhere'}")


def test_an_export_is_evaluated_like_its_run(run, documents, tmp_path: Path) -> None:
    folder, _ = export_run(run, str(tmp_path / "exported"))
    (ours,) = evaluate_model(find_evaluated(run.name), find_tasks(["blimp_transitive"]))
    exported = find_evaluated(str(folder))
    (theirs,) = evaluate_model(exported, find_tasks(["blimp_transitive"]))
    assert exported.directory == folder / "evaluation"
    assert theirs.identity == ours.identity
    assert theirs.metrics == ours.metrics


def test_accuracies_are_copied_to_mlflow(run, documents) -> None:
    tasks = [*find_tasks(["blimp"])[:2], *find_tasks(["lambada_openai"])]
    (_, _, words) = evaluate_model(find_evaluated(run.name), tasks)
    rows = {row.key: row.value for row in result_rows(run.record)}
    accuracy = group_estimates(read_task_results(evaluation_dir(run.record.directory)))["blimp"]
    assert rows["evaluation/blimp/accuracy"] == accuracy.value
    assert rows["evaluation/blimp/accuracy_stderr"] == accuracy.stderr
    perplexity = words.metrics["perplexity"]
    assert rows["evaluation/lambada_openai/perplexity"] == perplexity.value
    assert rows["evaluation/lambada_openai/perplexity_stderr"] == perplexity.stderr
    # Every metric that a claim can name, in the same words.
    claimable = {f"evaluation/{task.group}/{name}" for task in tasks for name in task.metrics}
    assert claimable <= rows.keys()


def test_documents_are_made_once_for_all_models() -> None:
    (task,) = find_tasks(["pocket_last_word"])
    assert sources.read_documents(task, None) is sources.read_documents(task, None)
