import json
import os
import subprocess
import sys

import pytest
import torch

from switchhead_kernels.native import build
from switchhead_lab.openmp import SPIN_COUNT, without_wait_settings
from switchhead_lab.training.compute_setup import describe_backend, prepare_setup
from switchhead_lab.training.diagnosis import (
    describe_kernel_cache,
    diagnose,
    openmp_runtimes,
    waiting_finding,
)

DOCTOR = (
    "; from switchhead_lab.__main__ import main; sys.argv = ['lab', 'doctor', '--json']; main()"
)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "variables", "finding", "advice"),
    [
        ("import sys", {}, f"GOMP_SPINCOUNT={SPIN_COUNT} (set by the lab)", ""),
        ("import sys", {"KMP_BLOCKTIME": "1"}, "KMP_BLOCKTIME=1 (set by the user)", ""),
        ("import sys, torch", {}, "the OpenMP default (PyTorch was imported", "import switchhead_"),
    ],
)
def test_doctor_says_how_threads_wait_and_who_set_it(
    workspace, first: str, variables: dict[str, str], finding: str, advice: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", first + DOCTOR],
        cwd=workspace.root,
        env={**without_wait_settings(os.environ), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {row["subject"]: row for row in json.loads(done.stdout)}
    row = rows["waiting threads"]
    assert row["finding"].startswith(finding)
    assert row["advice"].startswith(advice)
    assert bool(row["advice"]) == bool(advice)


def test_a_setting_that_the_runtime_does_not_read_says_so() -> None:
    labs = {"GOMP_SPINCOUNT": "9", "SWITCHHEAD_LAB_SPINCOUNT": "9"}
    found = waiting_finding(labs, ["libiomp5.so"])
    assert found.finding == "GOMP_SPINCOUNT=9 (set by the lab), without effect on libiomp5.so"
    assert "KMP_BLOCKTIME" in found.advice
    assert waiting_finding(labs, []).advice == ""


def test_the_runtime_of_this_process_is_found() -> None:
    found = openmp_runtimes()
    assert found
    assert all("omp" in name for name in found)


def test_a_missing_kernel_cache_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise build.KernelUnavailableError("the home folder is not known")

    monkeypatch.setattr("switchhead_lab.training.diagnosis.cache_dir", refuse)
    assert describe_kernel_cache() == "none: the home folder is not known"


def test_doctor_shows_the_machine_its_kernels_and_the_workspace(workspace) -> None:
    found = {finding.subject: finding.finding for finding in diagnose(workspace)}
    setup = prepare_setup("cpu", "auto")
    for name in ("float32", "bfloat16"):
        backend = describe_backend(setup.device, getattr(torch, name))
        assert found[f"expert projections, {name}"] == backend
    expected = {
        "device": setup.description,
        "precision": setup.precision,
        "other passes": setup.facts["fused_passes"],
        "workspace": str(workspace.root),
        "runs_dir": str(workspace.runs_dir),
    }
    assert found.items() >= expected.items()
