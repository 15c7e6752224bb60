"""`lab eval` as a user types it."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from command_line import lab
from tiny_runs import train

from switchhead_lab.evaluation import evaluate

PAIR = {"sentence_good": "we keep the law", "sentence_bad": "we the keep law", "UID": "wh_island"}


@pytest.fixture
def run(workspace, tiny_config, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LAB_HOME", str(workspace.root))
    return train(workspace, tiny_config(n_steps=2, n_warmup_steps=1)).name


@pytest.fixture
def runs(run, workspace, tiny_config) -> list[str]:
    return [run, train(workspace, tiny_config(n_steps=2, n_warmup_steps=1, seed=1)).name]


def test_models_are_evaluated_and_compared(runs, workspace) -> None:
    tasks = "pocket_minimal_pairs_article_form,pocket_minimal_pairs_verb_form"
    done = lab("eval", *runs, "--tasks", tasks, cwd=workspace.root)
    for name in runs:
        assert name in done.stdout
        folder = workspace.runs_dir / name / "evaluation"
        assert len(list(folder.glob("*.json"))) == 2
    row = next(line for line in done.stdout.splitlines() if line.startswith("pocket_minimal"))
    assert row.split()[:3] == ["pocket_minimal_pairs", "2", "400"]
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "every task" not in line)
    again = lab("eval", "run", runs[0], "--tasks", tasks, "--json", cwd=workspace.root)
    data = json.loads(again.stdout)[runs[0]]
    assert data["accuracy"]["pocket_minimal_pairs"]["value"] == pytest.approx(
        sum(task["metrics"]["acc"]["value"] for task in data["tasks"]) / 2
    )
    compared = lab("eval", "compare", *runs, "--json", cwd=workspace.root)
    (difference,) = json.loads(compared.stdout)
    assert (difference["n_tasks"], difference["n_documents"]) == (2, 400)
    assert difference["low"] <= difference["difference"] <= difference["high"]
    assert "95 % interval" in lab("eval", "compare", *runs, cwd=workspace.root).stdout


def test_the_benchmark_writes_what_it_prints_and_keeps_no_result(run, workspace) -> None:
    task = "pocket_minimal_pairs_article_form"
    small = ("bench", "evaluation", run, "--tasks", task, "--rounds", "1")
    done = lab(*small, cwd=workspace.root)
    written = json.loads((workspace.reports_dir / "bench/evaluation.json").read_text())
    (cost,) = written["times"]
    assert f"{cost['ratio']:.2f}" in done.stdout
    assert max(map(len, done.stdout.partition("written to")[0].splitlines())) <= 80
    assert cost["n_documents"] == 200
    # Two sentences of several words per document.
    assert cost["n_positions"] > 200 * 2 * 3
    assert 0.0 < cost["forward_s"] < cost["evaluation_s"]
    assert cost["ratio"] == pytest.approx(cost["evaluation_s"] / cost["forward_s"])
    assert not (workspace.runs_dir / run / "evaluation").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_a_signal_the_same_command_continues(
    run, workspace, request, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    # May be ignored where the suite started.
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    names = ["pocket_minimal_pairs_article_form", "pocket_minimal_pairs_verb_form"]
    command = ("eval", run, "--tasks", ",".join(names))
    scored: list[str] = []
    original = evaluate.run_task

    def signalled(model, task, *arguments, **options):
        scored.append(task.name)
        if len(scored) == 2:
            os.kill(os.getpid(), number)
        return original(model, task, *arguments, **options)

    monkeypatch.setattr(evaluate, "run_task", signalled)
    done = lab(*command, cwd=workspace.root, code=code)
    assert f"interrupted by {number.name}; the same command continues" in done.stderr
    lab(*command, cwd=workspace.root)
    assert (sorted(scored[:2]), scored[2:]) == (names, scored[1:2])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tasks", "blmp"], 'no task "blmp" (did you mean "blimp"?)'),
        (["--tasks", "blimp", "--data-root", "nowhere"], "nowhere: no such folder"),
        (["--precision", "fp16"], '--precision "fp16": use fp32 or bf16'),
        (["--batch-size", "0"], "greater than or equal to 1"),
        (["--checkpoint", "3"], "no checkpoint of step 3"),
    ],
)
def test_bad_input_is_one_error(run, workspace, arguments: list[str], expected: str) -> None:
    done = lab("eval", run, *arguments, cwd=workspace.root, code=2)
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_file_is_named_with_its_line(run, workspace, tmp_path: Path) -> None:
    from switchhead_lab.config.zero_shot import BLIMP_SETS

    root = tmp_path / "published"
    root.mkdir()
    for name in BLIMP_SETS:
        line = json.dumps({**PAIR, "UID": name})
        (root / f"{name}.jsonl").write_text(f"{line}\n" * 1000)
    path = root / "wh_island.jsonl"
    path.write_text(path.read_text()[:-20])
    done = lab(*("eval", run, "--tasks", "blimp", "--data-root", root), cwd=workspace.root, code=2)
    assert "wh_island.jsonl: line 1000: not JSON" in done.stderr
    assert not (workspace.runs_dir / run / "evaluation").exists()


def test_an_unevaluated_model_cannot_be_compared(runs, workspace) -> None:
    done = lab("eval", "compare", *runs, cwd=workspace.root, code=2)
    assert "no task that both were evaluated on; run `lab eval` for both" in done.stderr


@pytest.mark.thorough
def test_the_harnesss_own_command_line_knows_the_model(run, workspace, tmp_path: Path) -> None:
    task = tmp_path / "pairs.yaml"
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    task.write_text(
        "task: own_pairs\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    train: {tmp_path / 'pairs.jsonl'}\n"
        "output_type: multiple_choice\nvalidation_split: train\ndoc_to_text: ''\n"
        "doc_to_target: 0\ndoc_to_choice: '{{[sentence_good, sentence_bad]}}'\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "switchhead_lab", "lm-eval", "run"),
            *("--model", "switchhead_lab", "--model_args", f"run={run}"),
            *("--tasks", "own_pairs", "--include_path", str(tmp_path)),
        ],
        cwd=workspace.root,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "|own_pairs|" in done.stdout
