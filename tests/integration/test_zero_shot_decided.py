"""Claims about zero-shot tasks from the command line: real training, real evaluations."""

import csv
import json
from pathlib import Path

import pytest
from command_line import lab
from mlflow_runs import all_runs
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.mlflow_index import EXPERIMENT, artifact_dir
from switchhead_lab.tracking.mlflow_store import MlflowStore

TASK = "pocket_minimal_pairs_article_form"
CLAIM = f"""
[evaluation]
tasks = ["{TASK}"]
[[claims]]
model = "two-heads"
quality = {{ metric = "evaluation/{TASK}/accuracy", kind = "not_worse", margin = 1e-9 }}
max_seeds = 4
"""


@pytest.fixture
def root(workspace) -> Path:
    declaration = SWEEP[: SWEEP.index("[[studies]]")] + CLAIM + "[sizes.small]\n"
    (workspace.sweeps_dir / "tiny.toml").write_text(declaration, encoding="utf-8")
    return workspace.root


def evaluated(root: Path) -> set[str]:
    return {path.parents[1].name for path in (root / "runs").glob(f"*/evaluation/{TASK}.json")}


def finished(root: Path) -> set[str]:
    return {path.parent.name for path in (root / "runs").glob("*/result.json")}


def report_of(root: Path) -> str:
    return " ".join(lab("report", "tiny", cwd=root).stdout.split())


@pytest.mark.thorough
def test_new_seeds_are_evaluated_before_the_next_look(root: Path) -> None:
    shown = lab("sweep", "show", "tiny", cwd=root).stdout
    assert "claim two-heads-vs-dense: no run yet; at least 2 seeds" in shown
    lab("sweep", "tiny", cwd=root)
    single = report_of(root)
    assert "needs two seeds of both models" in single
    assert f"Over the 200 documents of {TASK} alone (bootstrap in pairs, 95 %)" in single
    decided = lab("sweep", "tiny", "--until-decided", cwd=root)
    assert "two-heads-vs-dense is undecided with 1 seeds: adding seeds 1 and 2" in decided.stderr
    assert evaluated(root) == finished(root)
    assert len(finished(root)) >= 6
    (quality,) = json.loads(lab("report", "tiny", "--json", cwd=root).stdout)["claims"]
    assert quality["n"] in (3, 4)
    shown = lab("sweep", "show", "tiny", cwd=root).stdout
    assert f"claim two-heads-vs-dense: {quality['verdict']}, {quality['n']} of 4 seeds" in shown
    (record,) = (root / "runs/sweeps").glob("*/sweep.json")
    looks = json.loads(record.read_text(encoding="utf-8"))["looks"]
    assert looks["two-heads-vs-dense"][0] == 3
    # The estimate is that of the recorded accuracies.
    assert quality["estimate"] == pytest.approx(mean_loss_of_accuracy(root, quality["n"]))


def mean_loss_of_accuracy(root: Path, n: int) -> float:
    """Return by how much the accuracy of dense is above that of two-heads, over paired seeds."""
    (record,) = (root / "runs/sweeps").glob("*/sweep.json")
    sums = {"dense": 0.0, "two-heads": 0.0}
    for member in json.loads(record.read_text(encoding="utf-8"))["members"]:
        path = root / "runs" / member["run_name"] / f"evaluation/{TASK}.json"
        sums[member["model"]] += json.loads(path.read_text())["metrics"]["acc"]["value"]
    return (sums["dense"] - sums["two-heads"]) / n


def test_a_missing_evaluation_is_loud_and_its_command_fills_it(root: Path) -> None:
    path = root / "sweeps/tiny.toml"
    path.write_text(path.read_text().replace("d_ff = 32\n", "d_ff = 32\nseeds = [0, 1]\n"))
    path.write_text(path.read_text().replace("n_heads = 2\n", "n_heads = 2\nseeds = [0, 1]\n"))
    lab("sweep", "tiny", cwd=root)
    lost = next(iter((root / "runs").glob(f"*/evaluation/{TASK}.json")))
    lost.unlink()
    text = report_of(root)
    assert "Claim two-heads-vs-dense: evaluations missing: undecided so far" in text
    assert "(seed" in text
    command = "`lab sweep tiny --size small` evaluates what is missing"
    assert f"Its zero-shot results are incomplete: {command}." in text
    shown = " ".join(lab("sweep", "show", "tiny", cwd=root).stdout.split())
    assert f"1 of 4 seeds. Its zero-shot results are incomplete: {command}." in shown
    lab("report", "tiny", "--strict", cwd=root, code=2)
    page = (root / "reports/index.html").read_text(encoding="utf-8")
    assert "evaluations missing: undecided so far" in page
    assert f"is not evaluated on {TASK}: seed" in page
    lab("sweep", "tiny", "--size", "small", cwd=root)
    assert lost.is_file()
    lab("report", "tiny", "--strict", cwd=root)


def test_without_its_evaluation_no_seed_is_added(root: Path) -> None:
    path = root / "sweeps/tiny.toml"
    text = path.read_text().replace(TASK, "blimp_wh_island")
    path.write_text(text.replace("tasks =", 'data_root = "nowhere"\ntasks ='))
    done = lab("sweep", "tiny", "--until-decided", cwd=root)
    assert "nowhere: no such folder" in done.stderr
    assert done.stderr.count("not evaluated: ") == 2
    assert "adding" not in done.stderr
    assert len(finished(root)) == 2
    (record,) = (root / "runs/sweeps").glob("*/sweep.json")
    assert "looks" not in json.loads(record.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", [["sweep", "show"], ["sweep"]])
def test_a_task_that_is_not_asked_for_is_one_error(root: Path, command: list[str]) -> None:
    path = root / "sweeps/tiny.toml"
    path.write_text(path.read_text().replace(f'tasks = ["{TASK}"]', 'tasks = ["pocket_last_word"]'))
    done = lab(*command, "tiny", cwd=root, code=2)
    assert "sweeps/tiny.toml: claims: quality.metric = " in done.stderr
    assert 'evaluation.tasks = ["pocket_last_word"] does not ask for' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (root / "runs").exists()


@pytest.mark.thorough
def test_the_parent_run_has_the_verdict_on_its_evaluation(root: Path) -> None:
    (root / "lab.toml").write_text('device = "cpu"\n', encoding="utf-8")
    lab("sweep", "tiny", "--until-decided", cwd=root)
    workspace = find_workspace(root, environment={})
    store = MlflowStore(workspace.tracking_uri, EXPERIMENT, artifact_dir(workspace))
    runs = all_runs(store)
    (parent,) = [run for run in runs if "lab.sweep_id" in run.data.tags]
    note = parent.data.tags["mlflow.note.content"]
    label = TASK.replace("_", " ")
    assert f"{label} accuracy" in note
    (claims,) = (root / "reports").glob("tiny-*/claims.csv")
    (row,) = csv.DictReader(claims.read_text(encoding="utf-8").splitlines())
    assert row["verdict"] in ("supported", "refuted", "undecided")
    assert f"| {row['verdict']} " in note
    others = [run for run in runs if run is not parent]
    assert all("evaluation/pocket_minimal_pairs/accuracy" in run.data.metrics for run in others)
