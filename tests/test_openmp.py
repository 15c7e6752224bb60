"""How OpenMP's threads wait is set before PyTorch is loaded, and never against the user."""

import json
import os
import subprocess
import sys

import pytest
from documents import read_document

from switchhead_lab.openmp import (
    SPIN_COUNT,
    VARIABLES,
    settings_author,
    wait_settings,
    without_wait_settings,
)

REPORT = """
import json, os, sys
from switchhead_lab.openmp import settings_author, wait_settings
print(json.dumps([wait_settings(os.environ), settings_author(os.environ), "torch" in sys.modules]))
"""
LABS = [{"GOMP_SPINCOUNT": str(SPIN_COUNT)}, "lab"]


def run(program: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**without_wait_settings(os.environ), **variables}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )


def report(program: str, **variables: str) -> list[object]:
    return json.loads(run(program + REPORT, **variables).stdout)


@pytest.mark.parametrize(
    "first",
    ["import switchhead_lab", "import switchhead_lab.__main__", "import switchhead_lab.cli.app"],
)
def test_every_entry_sets_it_before_torch_is_imported(first: str) -> None:
    assert report(first) == [*LABS, False]


DOCTOR = """
import os, switchhead_lab, torch
from switchhead_lab.training.diagnosis import openmp_runtimes, waiting_finding
print(waiting_finding(os.environ, openmp_runtimes()).finding)
"""


@pytest.mark.thorough
def test_doctor_knows_whether_the_runtime_of_torch_reads_it() -> None:
    done = run(DOCTOR, OMP_DISPLAY_ENV="verbose")
    is_read = f"GOMP_SPINCOUNT = '{SPIN_COUNT}'" in done.stderr
    assert is_read == ("without effect" not in done.stdout)


@pytest.mark.parametrize("name", VARIABLES)
def test_the_users_own_setting_wins(name: str) -> None:
    value = "passive" if name == "OMP_WAIT_POLICY" else "7"
    assert report("import switchhead_lab", **{name: value}) == [{name: value}, "user", False]


@pytest.mark.thorough
def test_nothing_is_set_once_torch_is_imported() -> None:
    assert report("import torch") == [{}, "", True]


def test_a_child_process_inherits_it_as_the_labs() -> None:
    parent = "import switchhead_lab, subprocess, sys\nsubprocess.run([sys.executable, '-c', {!r}])"
    assert json.loads(run(parent.format(REPORT)).stdout) == [*LABS, False]


def test_a_value_changed_after_the_lab_is_the_users() -> None:
    program = "import os, switchhead_lab; os.environ['GOMP_SPINCOUNT'] = '5'"
    assert report(program) == [{"GOMP_SPINCOUNT": "5"}, "user", False]


def test_an_environment_can_be_cleared_of_it() -> None:
    inherited = {"GOMP_SPINCOUNT": "1", "OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "2"}
    cleared = without_wait_settings(inherited)
    assert cleared == {"OMP_NUM_THREADS": "2"}
    assert wait_settings(inherited) == {"GOMP_SPINCOUNT": "1", "OMP_WAIT_POLICY": "active"}
    assert (settings_author(inherited), settings_author(cleared)) == ("user", "")


def test_the_documents_name_the_setting() -> None:
    assert f"`GOMP_SPINCOUNT={SPIN_COUNT}`" in read_document("docs/machines.md")
