"""`lab reproduce`: runs of every kind are trained again, compared, and left alone."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import swept, trained
from tiny_runs import StopAtFour, train
from tiny_sweep import SWEEP

from switchhead_lab.config.files import merge_trees, parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.record import RunLabels, list_runs
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.training.initial_weights import resolve_initial_weights

PLUGIN = Path(__file__).parents[1] / "plugins" / "my_variants.py"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def edit_loss(run, step: int, factor: float = 1.001) -> float:
    """Change a recorded training loss; return the original."""
    path = run.directory / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (line,) = [
        line for line in lines if line["step"] == step and "train/loss_nats" in line["metrics"]
    ]
    before = line["metrics"]["train/loss_nats"]
    line["metrics"]["train/loss_nats"] = before * factor
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return before


def test_an_unchanged_run_is_identical_and_left_alone(workspace, tiny_config, monkeypatch) -> None:
    run = trained(workspace, tiny_config("switchhead"))
    scratch = workspace.root / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = contents(workspace.runs_dir)
    done = lab("reproduce", run.name, cwd=workspace.root)
    assert "identical: 8 of 8 points, up to step 6 and the final scores" in done.stdout
    assert contents(workspace.runs_dir) == before
    assert list(scratch.iterdir()) == []


def test_the_first_steps_follow_the_full_schedule(workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    done = lab("reproduce", run.run_hash[:8], "--steps", "4", "--json", cwd=workspace.root)
    found = json.loads(done.stdout)
    # Learning rates are compared too: they would differ under a schedule of four steps.
    assert (found["is_identical"], found["n_equal"], found["steps"]) == (True, 5, 4)
    assert found["compares_result"] is False


def test_a_difference_is_named_with_both_values_and_what_changed(workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    now = edit_loss(run, 4)
    provenance = json.loads((run.directory / "provenance.json").read_text())
    provenance["device"]["n_threads"] = 77
    provenance["versions"]["numpy"] = "0.1"
    provenance["code"]["files"]["switchhead_lab/training/loop.py"] = "0" * 16
    provenance["data_manifest"]["digest"] = "f" * 64
    provenance["environment"]["OMP_NUM_THREADS"] = "77"
    (run.directory / "provenance.json").write_text(json.dumps(provenance))
    done = lab("reproduce", run.name, cwd=workspace.root, code=1)
    assert f"differs at step 4: train/loss_nats is {now * 1.001!r} in the record, {now!r} now" in (
        done.stdout
    )
    assert "equal before that: 4 of 8 points" in done.stdout
    for change in (
        "code: switchhead_lab/training/loop.py changed",
        "numpy: 0.1 before",
        "threads: 77 before",
        f"data: digest {'f' * 12} before",
        "environment: OMP_NUM_THREADS 77 before",
    ):
        assert change in done.stdout
    found = json.loads(lab("reproduce", run.name, "--json", cwd=workspace.root, code=1).stdout)
    assert found["difference"] == {
        "step": 4,
        "metric": "train/loss_nats",
        "recorded": now * 1.001,
        "found": now,
    }


def test_an_edited_final_score_is_a_difference(workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    path = run.directory / "result.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "test_loss_nats": 0.5}))
    done = lab("reproduce", run.name, cwd=workspace.root, code=1)
    assert "differs at step 6: test/loss_nats is 0.5 in the record" in done.stdout
    assert "nothing that is recorded has changed since the run" in done.stdout


def test_an_interrupted_run_is_compared_as_far_as_it_went(workspace, tiny_config) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(workspace, tiny_config(), [StopAtFour()])
    [run] = list_runs(workspace.runs_dir)
    assert "identical: 5 of 5 points, up to step 4\n" in (
        lab("reproduce", run.name, cwd=workspace.root).stdout
    )


def test_a_resumed_run_is_identical(workspace, tiny_config) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(workspace, tiny_config(), [StopAtFour()])
    run = train(workspace, tiny_config())
    assert run.status.attempt == 2
    assert "identical: 8 of 8" in lab("reproduce", run.name, cwd=workspace.root).stdout


def test_runs_of_a_sweep_are_identical(workspace) -> None:
    (workspace.root / "sweeps/tiny.toml").write_text(SWEEP)
    swept(workspace.root, "tiny")
    runs = list_runs(workspace.runs_dir)
    candidate = next(run for run in runs if run.config.model.attention.kind == "switchhead")
    for run in (candidate, next(run for run in runs if run.labels.variant == "two-heads")):
        assert "identical" in lab("reproduce", run.name, cwd=workspace.root).stdout


def test_a_run_that_starts_from_another_is_identical(workspace, tiny_config) -> None:
    source = trained(workspace, tiny_config())
    tree = merge_trees(
        tiny_config(seed=1).model_dump(mode="json"), {"initial_weights": source.name}
    )
    resolved = resolve_initial_weights(tree, workspace.runs_dir, "test")
    run = train(workspace, parse(RunConfig, resolved, "test"))
    before = contents(workspace.runs_dir)
    assert "identical: 8 of 8" in lab("reproduce", run.name, cwd=workspace.root).stdout
    assert contents(workspace.runs_dir) == before
    shutil.rmtree(source.directory)
    done = lab("reproduce", run.name, cwd=workspace.root, code=2)
    assert f"starts from the weights of the run {source.run_hash[:8]}" in done.stderr


@pytest.fixture
def of_plugin(workspace, tiny_config):
    """A run with a variant of a plugin that imports a file beside it."""
    source = PLUGIN.read_text()
    (workspace.root / "scale_of_init.py").write_text("SCALE = 1.0\n")
    (workspace.root / "my_variants.py").write_text(f"{source}\nfrom scale_of_init import SCALE\n")
    text = (workspace.root / "lab.toml").read_text()
    (workspace.root / "lab.toml").write_text(f'{text}plugins = ["my_variants.py"]\n')
    import sys

    sys.path.insert(0, str(workspace.root))
    try:
        opened = find_workspace(workspace.root, environment={})
        tree = tiny_config().model_dump(mode="json")
        attention = {"kind": "my_grouped_query", "n_heads": 4, "n_groups": 2, "d_head": 4}
        tree["model"]["attention"] = attention
        yield train(opened, parse(RunConfig, tree, "test"))
    finally:
        sys.path.remove(str(workspace.root))


def test_a_changed_plugin_is_replaced_by_the_recorded_copy(workspace, of_plugin) -> None:
    root = workspace.root
    assert "identical" in lab("reproduce", of_plugin.name, cwd=root).stdout
    (root / "my_variants.py").write_text(
        (root / "my_variants.py").read_text().replace("n_groups * P * D", "n_groups * P * D + 0")
        + "\nCHANGED = True\n"
    )
    done = lab("reproduce", of_plugin.run_hash[:8], cwd=root)
    assert 'note: plugin "my_variants.py": my_variants.py changed since the run; its recorded' in (
        done.stdout
    )
    assert "identical: 8 of 8" in done.stdout


def test_a_changed_file_beside_the_plugin_counts_too(workspace, of_plugin) -> None:
    (workspace.root / "scale_of_init.py").write_text("SCALE = 2.0\n")
    import importlib
    import sys

    del sys.modules["scale_of_init"], sys.modules["my_variants"]
    from switchhead_lab.config import plugins

    plugins._unload("my_variants")
    importlib.invalidate_caches()
    done = lab("reproduce", of_plugin.name, cwd=workspace.root)
    assert "scale_of_init.py changed since the run; its recorded copy is used" in done.stdout
    assert sys.modules["scale_of_init"].SCALE == 1.0


def test_copies_of_an_imported_run_are_run_only_on_request(workspace, of_plugin) -> None:
    root = workspace.root
    (of_plugin.directory / "import.json").write_text("{}")
    assert "identical" in lab("reproduce", of_plugin.name, cwd=root).stdout
    (root / "my_variants.py").write_text((root / "my_variants.py").read_text() + "\nX = 1\n")
    done = lab("reproduce", of_plugin.name, cwd=root, code=2)
    assert "running it runs foreign code; read it, then pass --trust-plugins" in done.stderr
    assert "identical" in lab("reproduce", of_plugin.name, "--trust-plugins", cwd=root).stdout


def test_mistakes_are_explained(workspace, tiny_config) -> None:
    root = workspace.root
    run = trained(workspace, tiny_config(log_every=3))
    done = lab("reproduce", "nothing", cwd=root, code=2)
    assert 'no run "nothing"' in done.stderr
    for steps in (2, 7):
        done = lab("reproduce", run.name, "--steps", str(steps), cwd=root, code=2)
        assert f"--steps {steps}: {run.name} has points from step 3 to step 6" in done.stderr
    lab("reproduce", run.name, "--steps", "-1", cwd=root, code=2)
    labels = RunLabels(size="tiny", variant="other")
    other = RunDir.open(workspace.runs_dir, tiny_config(seed=5), labels, {}, b"")
    other.close("failed", 0, "on purpose")
    done = lab("reproduce", other.path.name, cwd=root, code=2)
    assert "no step is recorded" in done.stderr
