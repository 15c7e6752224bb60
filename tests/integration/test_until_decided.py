"""`lab sweep --until-decided` from the command line, with real training."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import swept
from tiny_sweep import SWEEP

CLAIMS = """
[[claims]]
model = "two-heads"
quality = { metric = "validation/loss", kind = "not_worse", margin = 1e-9 }
cost = { parameters = 1.1 }
max_seeds = 4
"""


@pytest.fixture
def root(workspace) -> Path:
    declaration = SWEEP[: SWEEP.index("[[studies]]")] + CLAIMS + "[sizes.small]\n"
    (workspace.sweeps_dir / "tiny.toml").write_text(declaration, encoding="utf-8")
    return workspace.root


def test_seeds_are_added_and_the_report_has_the_verdict(root: Path) -> None:
    shown = lab("sweep", "show", "tiny", cwd=root).stdout
    assert "claim two-heads-vs-dense: no run yet; at least 2 seeds" in shown
    first = lab("sweep", "tiny", cwd=root)
    assert "2 finished" in first.stdout
    single = " ".join(lab("report", "tiny", cwd=root).stdout.split())
    assert "needs two seeds of both models" in single
    assert "The validation split is a single document" in single
    decided = lab("sweep", "tiny", "--until-decided", cwd=root)
    assert "two-heads-vs-dense is undecided with 1 seeds: adding seeds 1 and 2" in decided.stderr
    report = json.loads(lab("report", "tiny", "--json", cwd=root).stdout)
    (quality, cost) = report["claims"]
    assert (cost["part"], cost["part_verdict"]) == ("parameters", "supported")
    assert quality["n"] in (3, 4)
    shown = lab("sweep", "show", "tiny", cwd=root).stdout
    assert f"claim two-heads-vs-dense: {quality['verdict']}" in shown
    page = lab("report", "tiny", cwd=root).stdout
    assert "two-heads-vs-dense" in page
    # Continuing adds nothing, and the plain command keeps the added seeds.
    n_runs = len(list((root / "runs").glob("*/result.json")))
    lab("sweep", "tiny", "--until-decided", cwd=root)
    lab("sweep", "tiny", cwd=root)
    assert len(list((root / "runs").glob("*/result.json"))) == n_runs


def test_a_run_without_checkpoints_gives_a_warning_and_no_sentence(root: Path) -> None:
    swept(root, "tiny")
    for path in (root / "runs").glob("*/documents-validation.json"):
        path.unlink()
    for folder in (root / "runs").glob("*/checkpoints"):
        shutil.rmtree(folder)
    again = lab("sweep", "tiny", cwd=root)
    assert "warning: no losses by document" in again.stderr
    assert "alone (bootstrap" not in lab("report", "tiny", cwd=root).stdout


def test_a_sweep_without_claims_says_what_to_add(root: Path) -> None:
    path = root / "sweeps/tiny.toml"
    path.write_text(path.read_text().replace(CLAIMS, ""))
    done = lab("sweep", "tiny", "--until-decided", cwd=root, code=2)
    assert "states no claims; add [[claims]]" in done.stderr
