"""`lab generate` and `lab score` on a run trained from the command line."""

import json
from pathlib import Path

import command_line
import pytest

from switchhead_lab.config.files import to_toml
from switchhead_lab.tracking.record import list_runs


def lab(*arguments: str, cwd: Path, code: int = 0, stdin: str = "") -> tuple[str, str]:
    done = command_line.lab(*arguments, cwd=cwd, code=code, stdin=stdin)
    return done.stdout, done.stderr


@pytest.fixture
def root(workspace, tiny_config) -> Path:
    """A workspace with one trained run."""
    config = workspace.root / "model.toml"
    config.write_text(to_toml(tiny_config()), encoding="utf-8")
    lab("train", "model.toml", cwd=workspace.root)
    return workspace.root


def test_generate_is_repeatable(root: Path) -> None:
    name = list_runs(root / "runs")[0].name
    arguments = ["generate", name, "--prompt", "river", "--tokens", "20", "--seed", "5"]
    text, _ = lab(*arguments, cwd=root)
    assert text.startswith("river")
    assert len(text) > len("river\n")
    assert lab(*arguments, cwd=root)[0] == text
    _, error = lab("generate", name, "--temperature", "-1", cwd=root, code=2)
    assert error == (
        "error: temperature = -1.0: use a number of at least 0; 0 takes the likeliest token\n"
    )


def test_score_reads_files_and_stdin(root: Path) -> None:
    run = list_runs(root / "runs")[0]
    tokens = (root / "data/words/byte/validation.bin").read_bytes()[::2]
    text = tokens.removesuffix(b"\0").decode()
    (root / "validation.txt").write_text(text, encoding="utf-8")
    found = json.loads(lab("score", run.name, "validation.txt", "--json", cwd=root)[0])
    assert found["run"] == run.name
    assert run.result is not None
    assert found["nats_per_token"] == pytest.approx(run.result.validation["loss_nats"], rel=1e-9)
    assert json.loads(lab("score", run.name, "-", "--json", cwd=root, stdin=text)[0]) == found
    table, _ = lab("score", f"runs/{run.name}", "validation.txt", cwd=root)
    assert f"{run.result.validation['loss_nats']:.6f}" in table
    for figure in ("per token", "bits per byte", "perplexity per token", "perplexity per word"):
        assert figure in table
    _, error = lab("score", run.name, "nothing.txt", "--checkpoint", "first", cwd=root, code=2)
    assert error == "error: --checkpoint 'first': use a step, for example 200, or \"last\"\n"
