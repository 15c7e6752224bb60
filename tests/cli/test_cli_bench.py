"""`lab bench` from the command line, at sizes too small for meaningful times."""

import json
import shutil
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.app import app
from switchhead_lab.errors import ConfigError
from switchhead_lab.openmp import SPIN_COUNT

SMOKE = Path(__file__).parents[2] / "sweeps/smoke/matched-params.toml"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab.toml").write_text('tracking_uri = "none"\ndevice = "cpu"\n')
    (tmp_path / "sweeps").mkdir()
    shutil.copy(SMOKE, tmp_path / "sweeps/smoke.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)


def test_step_writes_what_it_prints(root: Path) -> None:
    small = (
        "--set",
        "training.batch_size=4",
        "--rounds",
        "1",
        "--models",
        "dense,switchhead n_heads=2 n_experts=2 top_k=1",
    )
    done = invoke("step", "smoke", *small, "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert [step["model"] for step in data["steps"]] == [
        "dense",
        "switchhead n_heads=2 n_experts=2 top_k=1",
    ]
    (written,) = (root / "reports/bench").glob("step-smoke-matched-params-smoke-*.json")
    assert json.loads(written.read_text())["steps"] == data["steps"]
    table = invoke("step", "smoke", *small).output
    assert "GFLOP/s; written to" in " ".join(table.split())
    assert max(map(len, table.partition("cpu (")[0].splitlines())) <= 80
    assert "not shown: quartiles" in table
    assert "quartiles" in invoke("step", "smoke", *small, "--wide").output


@pytest.mark.thorough
def test_a_partial_benchmark_does_not_replace_a_fuller_one(root: Path) -> None:
    small = ("step", "smoke", "--set", "training.batch_size=4", "--rounds", "1")
    invoke(*small, "--models", "dense")
    (path,) = (root / "reports/bench").glob("step-*.json")
    invoke(*small)  # a fuller one does
    recorded = path.read_bytes()
    models = [step["model"] for step in json.loads(recorded)["steps"]]
    assert len(models) > 1
    output = " ".join(invoke(*small, "--models", "dense").output.split())
    assert "not recorded, because" in output
    assert f"also has {min(models[1:])}" in output
    assert path.read_bytes() == recorded
    kernels = ("kernels", "--k", "1", "--dtype", "fp32", "--rounds", "1")
    invoke(*kernels, "--shape", "16/8", "--shape", "24/8")
    output = " ".join(invoke(*kernels, "--shape", "16/8").output.split())
    assert "also has down 24/8, k" in output


def test_checkpoint_writes_what_it_prints(root: Path) -> None:
    small = ("--set", "training.batch_size=4", "--rounds", "1", "--models", "dense")
    done = invoke("checkpoint", "smoke", *small)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.partition("written to")[0].splitlines())) <= 80
    (written,) = (root / "reports/bench").glob("checkpoint-smoke-matched-params-smoke-*.json")
    (time,) = json.loads(written.read_text())["times"]
    # Weights and two moments in float32, at least.
    assert time["n_bytes"] > 3 * 4 * 1000
    assert 0 < time["blocked_ms"] <= time["written_ms"]
    assert time["load_ms"] > 0
    fractions = ("checkpoint_fraction", "tracking_fraction", "resume_fraction")
    assert all(time[name] > 0 for name in fractions)
    # The checkpoints it wrote are gone.
    assert list((root / "runs").iterdir()) == []


def test_peers_writes_what_it_prints(root: Path) -> None:
    small = ("--set", "training.batch_size=4", "--rounds", "1", "--models", "dense")
    done = invoke("peers", "smoke", *small)
    assert done.exit_code == 0, done.output
    table = done.stdout.partition("written to")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "dense: training step" in table
    data = json.loads(invoke("peers", "smoke", *small, "--json").stdout)
    assert [time["implementation"] for time in data["times"]] == ["switchhead_lab", "plain PyTorch"]
    (written,) = (root / "reports/bench").glob("peers-smoke-matched-params-smoke-*.json")
    assert json.loads(written.read_text())["times"] == data["times"]


def test_kernels_writes_what_it_prints(root: Path) -> None:
    done = invoke("kernels", "--shape", "16/8", "--k", "1", "--dtype", "fp32", "--rounds", "1")
    assert done.exit_code == 0, done.output
    assert "not timed: triton: unavailable" in done.output
    data = json.loads((root / "reports/bench/kernels.json").read_text())
    assert [problem["problem"]["projection"] for problem in data["problems"]] == [
        *("value", "output", "up", "down")
    ]


@pytest.mark.thorough
def test_neighbour_writes_what_it_prints(root: Path) -> None:
    options = ("--set", "training.batch_size=4", "--rounds", "3", "--seconds", "0")
    done = invoke("neighbour", "smoke", *options, "--setting", "OMP_WAIT_POLICY=passive", "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    # What the child processes found in their environments.
    assert data["settings"] == {
        "lab": {"GOMP_SPINCOUNT": str(SPIN_COUNT)},
        "default": {},
        "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    }
    times = {(time["model"], time["setting"]): time for time in data["times"]}
    models = ["dense", "switchhead n_heads=2 n_experts=2 top_k=1"]
    assert list(times) == [(model, name) for model in models for name in data["settings"]]
    for (model, _), time in times.items():
        alone, beside = time["alone_rounds_ms"], time["beside_rounds_ms"]
        assert len(alone) == len(beside) == 3
        assert min(*alone, *beside) > 0.0
        assert time["alone_ms"] == statistics.median(alone)
        assert time["beside_ms"] == statistics.median(beside)
        default = times[model, "default"]["beside_rounds_ms"]
        ratios = [own / other for own, other in zip(beside, default, strict=True)]
        assert time["beside_over_default"] == statistics.median(ratios)
    (written,) = (root / "reports/bench").glob("neighbour-smoke-matched-params-smoke-*.json")
    assert json.loads(written.read_text())["times"] == data["times"]
    assert (
        f"| dense | lab | {times['dense', 'lab']['alone_ms']:.1f} |"
        in written.with_suffix(".md").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("step", "smoke", "--models", "densee"), "--models densee: no such model; models: dense"),
        (("kernels", "--shape", "412x76"), "--shape 412x76: write positive numbers like 412/76"),
        (("kernels", "--k", "0"), "--k 0: write positive numbers like 1,2"),
        (("kernels", "--dtype", "fp64"), "--dtype fp64: use all, fp32, bf16, fp16"),
        (("neighbour", "smoke", "--models", "densee"), "--models densee: no such model"),
        (
            ("neighbour", "smoke", "--setting", "OMP_NUM_THREADS=1"),
            "--setting OMP_NUM_THREADS=1: write NAME=VALUE, such as GOMP_SPINCOUNT=10000; names: G",
        ),
        (("neighbour", "smoke", "--setting", "GOMP_SPINCOUNT"), "--setting GOMP_SPINCOUNT: write"),
    ],
)
def test_user_errors_are_explained(root: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        invoke(*arguments)
