"""Secrets in addresses reach neither files nor the screen, however the address is written."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_sweep import shortest_sweep

from switchhead_lab.cli.app import main
from switchhead_lab.config.files import to_toml
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import Workspace

USABLE = [
    "postgresql+psycopg://lab:S3/xyzzy@127.0.0.1:9/x",
    "postgresql+psycopg://lab:S3%40xyzzy@127.0.0.1:9/x?connect_timeout=1",
    "postgresql+psycopg://127.0.0.1:9/x?user=lab&password=S3xyzzy",
    "postgresql+psycopg://lab:S3?xyzzy#S3xyzzy@127.0.0.1:9/x",
    "postgresql+nodriver://lab:S3xyzzy@127.0.0.1:9/x",
]
SERVERS = ["http://lab:S3xyzzy@127.0.0.1:9", "http://S3xyzzy@127.0.0.1:9/?api_key=S3xyzzy"]
MISREAD = ["postgresql+psycopg://lab:S3@xyzzy@127.0.0.1:9/x", "http://lab:S3/xyzzy@127.0.0.1:9"]
SEARCH = """
[[studies]]
model = { kind = "switchhead" }
n_trials = 1
space = { n_heads = [2], n_experts = [2], top_k = [1] }
"""
SWEEP = shortest_sweep(SEARCH, n_steps=1, batch_size=256)


@pytest.fixture
def root(
    workspace: Workspace,
    tiny_config: Callable[..., RunConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP, encoding="utf-8")
    config = to_toml(tiny_config(n_steps=1, n_warmup_steps=0, validate_every=1))
    (workspace.root / "run.toml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(workspace.root)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return workspace.root


def lab(*arguments: str) -> int:
    """Run `lab` in this process and return its exit code."""
    sys.argv = ["lab", *arguments]
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def configure(root: Path, tracking_uri: str, study_storage: str) -> None:
    lines = (
        'device = "cpu"',
        f"tracking_uri = '{tracking_uri}'",
        f"study_storage = '{study_storage}'",
    )
    (root / "lab.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def assert_nowhere(root: Path, printed: str) -> None:
    assert "xyzzy" not in printed
    holders = [
        path
        for folder in ("runs", "reports")
        for path in (root / folder).rglob("*")
        if path.is_file() and b"xyzzy" in path.read_bytes()
    ]
    assert holders == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "address",
    [
        USABLE[0],
        SERVERS[0],
        *(pytest.param(one, marks=pytest.mark.thorough) for one in (*USABLE[1:], *SERVERS[1:])),
    ],
)
def test_no_secret_is_shown_or_written(
    root: Path, address: str, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    storage = USABLE[0] if address in SERVERS else address.replace("127.0.0.1", "localhost")
    configure(root, address, storage)
    monkeypatch.setattr(sys, "argv", [])
    assert lab("doctor") == 0
    assert lab("train", "run.toml", "--set", "training.n_steps=2") == 3, "MLflow lacks the run"
    assert lab("sweep", "tiny") == 2, "the study storage is not available"
    assert lab("runs", "sync") == 2
    assert lab("runs", "show", next((root / "runs").glob("words-custom-*")).name) == 0
    assert lab("report", "tiny") == 0
    assert lab("train", "run.toml", "--set", f"model={address}") == 2
    assert lab("train", "run.toml", address) == 2

    def refuse(*_: object) -> None:
        raise RuntimeError(f"cannot reach {address}: no such role")

    monkeypatch.setattr("switchhead_lab.training.run.build_model", refuse)
    assert lab("train", "run.toml", "--set", "training.n_steps=3", "--name", "fails") == 2
    output, errors = capfd.readouterr()
    assert "MLflow at" in errors
    assert "study storage" in errors
    assert "cannot reach" in errors
    assert_nowhere(root, output + errors)


@pytest.mark.parametrize("address", MISREAD)
def test_an_ambiguous_address_is_rejected(
    root: Path, address: str, capfd: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    configure(root, address, "sqlite:///runs/optuna.db")
    for command in (["doctor"], ["train", "run.toml"], ["sweep", "tiny"], ["runs", "sync"], ["ui"]):
        assert lab(*command) == 2
    output, errors = capfd.readouterr()
    assert errors.count("lab.toml: tracking_uri: ") == 5
    assert_nowhere(root, output + errors)
