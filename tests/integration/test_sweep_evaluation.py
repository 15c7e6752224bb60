"""A sweep that asks for zero-shot tasks."""

import json

from command_line import lab
from tiny_sweep import SWEEP

PAIRS = "pocket_minimal_pairs_article_form"


def test_finished_runs_are_evaluated_and_candidates_are_not(workspace) -> None:
    text = SWEEP.replace("[sizes.small]", f'[evaluation]\ntasks = ["{PAIRS}"]\n[sizes.small]')
    (workspace.root / "sweeps/tiny.toml").write_text(text)
    done = lab("sweep", "tiny", cwd=workspace.root)
    assert ": 1 zero-shot task\n" in done.stderr
    record = next((workspace.runs_dir / "sweeps").glob("tiny-*/sweep.json"))
    members = json.loads(record.read_text())["members"]
    finals = {m["run_name"] for m in members if m["role"] != "candidate"}
    candidates = {m["run_name"] for m in members} - finals
    evaluated = {path.parents[1].name for path in workspace.runs_dir.glob(f"*/*/{PAIRS}.json")}
    assert evaluated == finals
    assert candidates
    # Nothing is repeated.
    times = {p: p.stat().st_mtime_ns for p in workspace.runs_dir.glob(f"*/*/{PAIRS}.json")}
    lab("sweep", "tiny", cwd=workspace.root)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_an_unknown_task_is_named_before_anything_is_trained(workspace) -> None:
    text = SWEEP.replace("[sizes.small]", '[evaluation]\ntasks = ["blmp"]\n[sizes.small]')
    (workspace.root / "sweeps/tiny.toml").write_text(text)
    done = lab("sweep", "tiny", cwd=workspace.root, code=2)
    assert 'no task "blmp" (did you mean "blimp"?)' in done.stderr
    assert not workspace.runs_dir.exists()


def test_a_missing_data_root_is_a_warning_after_the_training(workspace) -> None:
    table = '[evaluation]\ntasks = ["blimp"]\ndata_root = "nowhere"\n[sizes.small]'
    text = SWEEP.replace("[sizes.small]", table)
    (workspace.root / "sweeps/tiny.toml").write_text(text)
    done = lab("sweep", "tiny", cwd=workspace.root)
    assert "not evaluated: " in done.stderr
    assert "nowhere: no such folder" in done.stderr
