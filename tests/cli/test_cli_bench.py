"""`lab bench` from the command line, at sizes too small for meaningful times."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from switchhead_lab.cli.app import app
from switchhead_lab.errors import ConfigError

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
    written = root / "reports/bench/step-smoke-matched-params-smoke.json"
    assert json.loads(written.read_text())["steps"] == data["steps"]
    table = invoke("step", "smoke", *small).output
    assert "GFLOP/s; written to" in table


def test_kernels_writes_what_it_prints(root: Path) -> None:
    done = invoke("kernels", "--shape", "16/8", "--k", "1", "--dtype", "fp32", "--rounds", "1")
    assert done.exit_code == 0, done.output
    assert "not timed: triton: unavailable" in done.output
    data = json.loads((root / "reports/bench/kernels.json").read_text())
    assert [problem["problem"]["projection"] for problem in data["problems"]] == [
        *("value", "output", "up", "down")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("step", "smoke", "--models", "densee"), "--models densee: no such model; models: dense"),
        (("kernels", "--shape", "412x76"), "--shape 412x76: write positive numbers like 412/76"),
        (("kernels", "--k", "0"), "--k 0: write positive numbers like 1,2"),
        (("kernels", "--dtype", "fp64"), "--dtype fp64: use all, fp32, bf16, fp16"),
    ],
)
def test_user_errors_are_explained(root: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        invoke(*arguments)
