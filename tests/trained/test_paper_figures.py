"""Figures of the paper from recorded ListOps sweeps, with untrained weights instead of trained."""

import json
import shutil

import pytest
from shipped_sweeps import SWEEPS

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import RecordError
from switchhead_lab.model.transformer import build_model
from switchhead_lab.sweeping.plan import config_of, declared_variants, resolved_model
from switchhead_lab.tracking.record import RunLabels, RunResult
from switchhead_lab.tracking.run_dir import RunDir
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord
from switchhead_lab.trained.paper_figures import write_figure
from switchhead_lab.trained.run import TrainedRun

SMALL = ["data.n_train=60", "data.n_validation=20", "data.n_test=20", "training.batch_size=8"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    (tmp_path / "lab.toml").write_text('tracking_uri = "none"\n', encoding="utf-8")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(TrainedRun, "model", _untrained)
    return find_workspace()


def _untrained(run: TrainedRun):
    config = run.config
    return build_model(config.model, config.vocab_size, config.seed, config.n_outputs).eval()


@pytest.fixture
def record(workspace):
    sweep = find_sweep(SWEEPS, "paper/section4-listops").resolve("pocket", SMALL)
    members, models = [], []
    for variant in declared_variants(sweep):
        config = config_of(sweep, variant, 0)
        members.append(_finished(workspace.runs_dir, config, variant.name, variant.role))
        models.append(resolved_model(sweep, variant))
    record = SweepRecord(
        sweep=sweep, started_at=1.0, updated_at=2.0, members=members, models=models
    )
    SweepDir.of(workspace.runs_dir, sweep).write(record)
    return record


def _finished(runs_dir, config: RunConfig, name: str, role: str) -> SweepMember:
    labels = RunLabels(size="pocket", variant=name, sweep="section4-listops")
    run = RunDir.open(runs_dir, config, labels, {"git": {"commit": "c" * 40}}, b"")
    metrics = {"loss_nats": 1.0, "accuracy": 0.5}
    run.finish(
        RunResult(
            validation=metrics,
            test=metrics,
            n_parameters=1000,
            n_steps=10,
            n_tokens=100,
            ms_per_step=1.0,
            tokens_per_second=100.0,
            training_seconds=1.0,
            device="cpu (test)",
            precision="fp32",
        )
    )
    return SweepMember(
        model=name,
        role=role,
        seed=config.seed,
        run_name=run.path.name,
        run_hash=identity(config),
        state="finished",
    )


@pytest.mark.parametrize(
    ("number", "models"),
    [
        (2, ["dense", "switchhead"]),
        (3, ["switchhead"]),
        (4, ["dense"]),
        pytest.param(5, ["switchhead"], marks=pytest.mark.thorough),
    ],
)
def test_figures_name_their_runs_and_example(workspace, record, number, models):
    report = write_figure(workspace, number)
    assert report.folder == workspace.reports_dir / "paper" / f"figure{number}-pocket"
    names = [f"figure{number}.{kind}" for kind in ("pdf", "png", "svg")]
    assert report.files == ("report.md", *names, "provenance.json")
    provenance = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))
    runs = {member.model: member.run_name for member in record.members}
    sources = {one["model"]: one["run"] for one in provenance["sources"]}
    assert sources == {name: runs[name] for name in models}
    example = provenance["sources"][0]["example"]
    assert f"Example: {example}" in (report.folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.draws_figures
def test_a_figure_shows_its_example_and_the_same_records_give_the_same_bytes(workspace, record):
    def contents():
        return {p.name: p.read_bytes() for p in write_figure(workspace, 3).folder.iterdir()}

    first = contents()
    (source,) = json.loads(first["provenance.json"])["sources"]
    svg = first["figure3.svg"].decode()
    assert all(f"<!-- {token} -->" in svg for token in source["example"].split())
    assert contents() == first


def test_a_deleted_run_is_named_with_the_command(workspace, record):
    (deleted,) = (m.run_name for m in record.members if m.model == "switchhead")
    shutil.rmtree(workspace.runs_dir / deleted)
    with pytest.raises(RecordError, match="figure2 needs a finished SwitchHead run of section4-"):
        write_figure(workspace, 2)
    assert write_figure(workspace, 4).files


@pytest.mark.parametrize(
    ("number", "reason"),
    [(1, "drawing of the architecture"), (6, "no search for such heads")],
)
def test_figures_that_cannot_be_drawn_say_why(workspace, number, reason):
    with pytest.raises(RecordError, match=reason):
        write_figure(workspace, number)


def test_without_a_sweep_the_command_is_named(workspace):
    with pytest.raises(RecordError, match=r'sweep "section4-listops": .* `lab sweep list` shows'):
        write_figure(workspace, 2)
    shutil.copytree(SWEEPS / "paper", workspace.sweeps_dir / "paper")
    with pytest.raises(RecordError, match=r"run `lab sweep paper/section4-listops` first"):
        write_figure(workspace, 2)
