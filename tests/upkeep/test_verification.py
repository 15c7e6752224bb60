"""`lab verify`: intact records pass; each kind of damage is one line with file and next step."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import trained
from plugin_workspace import make_plugin_workspace
from tiny_sweep import SWEEP

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.evaluation.language_models import weights_id_of
from switchhead_lab.tracking.evaluations import (
    Sample,
    TaskResult,
    estimates_of,
    evaluation_dir,
    write_task_result,
)
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import RunRecord, list_runs
from switchhead_lab.trained.run import open_run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, write_corpus) -> Path:
    """A workspace with a sweep whose models come from a plugin, an evaluation and an export."""
    root = tmp_path_factory.mktemp("verify") / "lab"
    declared = SWEEP.partition("[[studies]]")[0].replace(
        'matching = "parameter_matched"', 'matching = "parameter_matched"\nconvention = "equations"'
    )
    grouped = '[[models]]\nkind = "my_grouped_query"\nname = "grouped"\nn_heads = 2\nn_groups = 2\n'
    text = f"{declared}{grouped}[sizes.small]\n"
    make_plugin_workspace(root, write_corpus, text, 'tracking_uri = "none"\n')
    lab("sweep", "tiny", cwd=root)
    run = the_run(root)
    evaluate(run)
    lab("export", run.name, cwd=root)
    return root


def the_run(root: Path) -> RunRecord:
    workspace = find_workspace(root, environment={})
    (run,) = [one for one in list_runs(workspace.runs_dir) if one.labels.variant == "grouped"]
    return run


def evaluate(run: RunRecord) -> None:
    """Write a result of a task, as `lab eval` does."""
    samples = [Sample(n, {"acc": float(n % 2)}, [-1.0, -2.0], [False, True]) for n in range(4)]
    weights = weights_id_of(open_run(run.directory).weights().weights)
    values = {
        **{"task": "pocket_cloze", "group": "cloze", "kind": "cloze", "version": 1.0},
        **{"chance": 0.5, "metrics": estimates_of(samples), "n_documents": 4},
        **{"documents": "made", "documents_version": "1", "documents_sha256": "0" * 64},
        **{"model": run.name, "weights_id": weights, "tokenizer_id": "0" * 64},
        **{"precision": "fp32", "harness": "0", "seconds": 1.0},
    }
    write_task_result(evaluation_dir(run.directory), TaskResult(**values), samples)


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "copy"))


def test_everything_intact_passes_and_nothing_is_written(root: Path) -> None:
    def contents() -> dict[Path, bytes]:
        files = (path for path in root.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if not path.name.endswith(".lock")}

    before = contents()
    for reference in ("", "tiny", the_run(root).name):
        done = lab("verify", *filter(None, [reference]), cwd=root)
        assert done.stdout.count("\n") == 1, done.stdout
        assert "passed" in done.stdout
    assert contents() == before


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def edit_metrics(path: Path) -> None:
    lines = path.read_text().splitlines()
    last = json.loads(lines[-1])
    last["metrics"]["validation/loss_nats"] += 0.5
    path.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")


def edit_manifest(path: Path) -> None:
    provenance = json.loads(path.read_text())
    provenance["data_manifest"]["splits"]["test"]["sha256"] = "0" * 64
    path.write_text(json.dumps(provenance))


def edit_code(path: Path) -> None:
    provenance = json.loads(path.read_text())
    provenance["code"]["files"]["switchhead_lab/training/loop.py"] = "0" * 16
    path.write_text(json.dumps(provenance))


def set_state(path: Path) -> None:
    record = json.loads(path.read_text())
    record["members"][0]["state"] = "failed"
    path.write_text(json.dumps(record))


def other_member(path: Path) -> None:
    record = json.loads(path.read_text())
    record["members"][0]["run_hash"] = "0" * 64
    path.write_text(json.dumps(record))


def link_out(path: Path) -> None:
    outside = path.parents[3] / "outside.json"
    shutil.move(path, outside)
    path.symlink_to(outside)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "tensors": ("RUN/checkpoints/step-00000004/tensors.safetensors", flip, "SHA-256"),
    "checkpoint": (
        "RUN/checkpoints/step-00000002/checkpoint.json",
        lambda path: edit_json(path, tokens=1),
        "its SHA-256 differs",
    ),
    "another run's checkpoint": (
        "RUN/checkpoints/step-00000002",
        lambda path: (
            shutil.rmtree(path),
            shutil.copytree(
                next(
                    one
                    for one in path.parents[2].glob("*/checkpoints/step-00000002")
                    if one != path
                ),
                path,
            ),
        ),
        "checkpoint of another run",
    ),
    "plugin": ("RUN/plugins/my_variants.py", flip, "SHA-256 differs from the recorded one"),
    "plugin gone": ("RUN/plugins/my_variants.py", Path.unlink, "plugin is missing"),
    "configuration": (
        "RUN/config.toml",
        lambda path: path.write_text(path.read_text().replace("seed = 0", "seed = 5")),
        "which its name does not end with",
    ),
    "unreadable configuration": ("RUN/config.toml", lambda p: p.write_text("x ="), "not valid"),
    "data manifest": ("RUN/provenance.json", edit_manifest, "differs from that of the hashes"),
    "code": ("RUN/provenance.json", edit_code, "the hash of its code differs"),
    "attempt": ("RUN/attempts/1/provenance.json", edit_code, "which was written with it"),
    "metrics": ("RUN/metrics.jsonl", lambda p: p.write_text("{}\n" + p.read_text()), "line 1"),
    "a step": (
        "RUN/metrics.jsonl",
        lambda p: p.write_text(p.read_text().replace('"tokens": 64', '"tokens": 63', 1)),
        "63 tokens, 64 expected",
    ),
    "truncated metrics": (
        "RUN/metrics.jsonl",
        lambda p: p.write_bytes(p.read_bytes()[:-3]),
        "truncated",
    ),
    "result": ("RUN/metrics.jsonl", edit_metrics, "but the last point has"),
    "sizes": ("RUN/result.json", lambda p: edit_json(p, n_parameters=1), "n_parameters is 1"),
    "status": ("RUN/status.json", lambda p: p.write_text("{"), "damaged"),
    "labels": ("RUN/labels.json", Path.unlink, "missing"),
    "evaluation": (
        "RUN/evaluation/pocket_cloze.json",
        lambda p: edit_json(p, metrics={"acc": {"value": 1.0, "stderr": 0.0}}),
        "do not follow from its samples",
    ),
    "samples": (
        "RUN/evaluation/pocket_cloze.samples.jsonl",
        lambda p: p.write_text(p.read_text().partition("\n")[0] + "\n"),
        "do not follow from its samples",
    ),
    "evaluated weights": (
        "RUN/evaluation/pocket_cloze.json",
        lambda p: edit_json(p, weights_id="1" * 64),
        "which no checkpoint of the run has",
    ),
    "export": ("EXPORT/model.safetensors", flip, "damaged: SHA-256"),
    "export's manifest": ("EXPORT/manifest.json", lambda p: edit_json(p, step=9), "own SHA-256"),
    "data": ("data/words/byte/train.bin", flip, "SHA-256"),
    "member's state": ("SWEEP/sweep.json", set_state, "is failed in the record"),
    "member": ("SWEEP/sweep.json", other_member, "records 00000000"),
    "member gone": ("RUN", shutil.rmtree, "is missing, but sweep.json has it as finished"),
    "sweep record": ("SWEEP/sweep.json", lambda p: p.write_text("{"), "damaged"),
    "sweep's name": (
        "SWEEP",
        lambda p: p.rename(p.with_name("tiny-small-00000000")),
        "the id of the sweep that it declares is",
    ),
    "no object": ("RUN/provenance.json", lambda p: p.write_text("[]"), "is not a JSON object"),
    "other types": (
        "RUN/provenance.json",
        lambda p: edit_json(p, plugins=7, code={"files": 7}, data_manifest={"splits": 7}),
        "not as the lab writes it",
    ),
    "other types of metrics": (
        "RUN/metrics.jsonl",
        lambda p: p.write_text('{"step": "a", "tokens": [], "time": 0, "metrics": []}\n'),
        "line 1",
    ),
    "other types of samples": (
        "RUN/evaluation/pocket_cloze.samples.jsonl",
        lambda p: p.write_text('{"number": 0, "metrics": 7, "nats": 0, "is_greedy": 0}\n' * 4),
        "not as the lab writes it",
    ),
    "not UTF-8": (
        "RUN/evaluation/pocket_cloze.samples.jsonl",
        lambda p: p.write_bytes(b"\x80\x04"),
        "damaged; delete it",
    ),
    "link": ("RUN/router_use.json", link_out, "a link that leads out of"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_its_file_and_the_next_step(root: Path, kind: str) -> None:
    where, damage, fault = DAMAGE[kind]
    run = the_run(root)
    (sweep,) = (root / "runs/sweeps").iterdir()
    places = {"RUN": run.directory, "SWEEP": sweep, "EXPORT": root / "exports" / run.name}
    first, _, rest = where.partition("/")
    path = places.get(first, root / first) / rest
    if kind == "link":
        path.write_text("{}")
    damage(path)
    done = lab("verify", cwd=root, code=1)
    (*lines, summary) = [
        line for line in done.stdout.splitlines() if not line.startswith("not checked")
    ]
    assert any(fault in line and line.startswith(str(root)) for line in lines), done.stdout
    assert all("; " in line for line in lines)
    assert f"{len(lines)} of " in summary
    found = json.loads(lab("verify", "--json", cwd=root, code=1).stdout)
    assert found["is_intact"] is False
    failures = [failure for record in found["records"] for failure in record["failures"]]
    assert len(failures) == len(lines)
    assert all(failure["remedy"] for failure in failures)


def test_a_run_is_verified_by_name_hash_or_folder(
    workspace: Workspace, tiny_config, tmp_path: Path
) -> None:
    run = trained(workspace, tiny_config())
    for reference in (run.name, run.run_hash[:8], run.directory):
        assert "of 1 record passed" in lab("verify", reference, cwd=workspace.root).stdout
    done = lab("verify", "nothing", cwd=workspace.root, code=2)
    assert 'no run "nothing"' in done.stderr
    done = lab("verify", tmp_path, cwd=workspace.root, code=2)
    assert "neither a run, nor a sweep, nor an export" in done.stderr


def test_a_run_that_is_being_trained_is_left_out(workspace: Workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    (run.directory / "result.json").write_text("{")
    with hold_run(workspace.runs_dir, run.run_hash):
        done = lab("verify", cwd=workspace.root)
    assert f"not checked: {run.name}: is being trained" in done.stdout


def test_missing_data_are_noted(workspace: Workspace, tiny_config) -> None:
    trained(workspace, tiny_config())
    shutil.rmtree(workspace.data_dir)
    done = lab("verify", cwd=workspace.root)
    assert f'not checked: data of "words": not prepared in {workspace.data_dir}' in done.stdout
    assert not workspace.data_dir.exists()


def test_an_orphaned_run_is_a_failure(workspace: Workspace, tiny_config) -> None:
    run = trained(workspace, tiny_config())
    (run.directory / "result.json").unlink()
    edit_json(run.directory / "status.json", state="running")
    done = lab("verify", cwd=workspace.root, code=1)
    assert 'the status is "running", but no process trains it; `lab doctor --fix`' in done.stdout
