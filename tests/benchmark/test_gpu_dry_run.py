"""The GPU command end to end on the CPU, as on a machine with a minimal installation."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from switchhead_lab.benchmark.gpu.plan import PARTS

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
SMALL_DENSE = ["small", "xl", "dense"]
NEEDED = ("torch", "triton", "numpy", "pydantic", "tomli", "tomli-w", "safetensors")

# Hides packages that a bare machine lacks, including this package's installation.
BARE = """
import sys
from importlib.machinery import PathFinder
HIDDEN = frozenset({hidden})
class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else super().find_spec(name, path, target)
others = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "")]
sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in others]
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_with_dependencies() -> set[str]:
    """Return the distributions that the command may import, with all requirements."""
    found: set[str] = set()
    waiting = [normal(name) for name in NEEDED]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [
            normal(re.match(r"[\w.-]+", text)[0]) for text in requirements if "extra ==" not in text
        ]
    return found


def bare_python_path(folder: Path) -> Path:
    # This package is imported from the checkout once its installed finder is hidden.
    allowed = needed_with_dependencies() | {"switchhead-lab"}
    hidden = [
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if not allowed & {normal(name) for name in names}
    ]
    assert {"mlflow", "optuna", "pandas", "typer", "psutil", "sentencepiece"} <= set(hidden)
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BARE.format(hidden=sorted(hidden)))
    return folder


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("gpu")
    out = folder / "out"
    environment = {**os.environ, "PYTHONPATH": str(bare_python_path(folder / "bare"))}
    command = [sys.executable, "-m", "switchhead_lab.benchmark.gpu", "--out", str(out), "--dry-run"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done, out


def test_every_part_and_case_is_done(dry_run) -> None:
    done, out = dry_run
    log = (out / "log.txt").read_text() if (out / "log.txt").exists() else ""
    assert done.returncode == 0, done.stdout + done.stderr + log
    results = json.loads((out / "gpu.json").read_text())
    assert results["is_dry_run"]
    assert results["is_right"]
    assert [part["name"] for part in results["parts"]] == [part.name for part in PARTS]
    for part in results["parts"]:
        assert part["cases"], part["name"]
        assert {case["status"] for case in part["cases"]} == {"done"}, part
        assert all(case["findings"] for case in part["cases"]), part


def test_printed_and_written_results_agree(dry_run) -> None:
    done, out = dry_run
    results = json.loads((out / "gpu.json").read_text())
    steps = next(part for part in results["parts"] if part["name"] == "steps")
    dense = next(case for case in steps["cases"] if case["name"] == "small xl dense")
    milliseconds = f"{dense['findings']['eager']['ms']:.2f}"
    line = next(line for line in done.stdout.splitlines() if line.split()[:3] == SMALL_DENSE)
    assert milliseconds in line
    page = (out / "gpu.md").read_text()
    assert "A dry run on a CPU" in page
    assert f"| small | xl | dense | eager | {milliseconds} |" in page
    # Users mainly see the end of the output.
    assert len(done.stdout) < 10_000


def test_losses_of_captured_and_eager_steps_are_equal(dry_run) -> None:
    _, out = dry_run
    results = json.loads((out / "gpu.json").read_text())
    training = next(part for part in results["parts"] if part["name"] == "training")
    (case,) = training["cases"]
    assert case["findings"]["repeats"]
    assert case["findings"]["captured_equals_eager"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--parts", "kernel"), "--parts kernel: no such part; parts: machine, kernels"),
        (("--minutes", "0"), "--minutes 0: use more than 0"),
        ((), "no CUDA device; run this where there is one, or add --dry-run"),
    ],
)
def test_user_errors_are_explained(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    command = [sys.executable, "-m", "switchhead_lab.benchmark.gpu", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"error: {message}" in done.stderr


def test_a_folder_with_an_earlier_run_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("")
    command = [sys.executable, "-m", "switchhead_lab.benchmark.gpu", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds an earlier run; choose an empty folder" in done.stderr
