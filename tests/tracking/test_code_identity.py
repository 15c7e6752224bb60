import json
import os
import subprocess
import sys

import pytest

from switchhead_lab.objectives.registry import objectives
from switchhead_lab.tracking import code_identity
from switchhead_lab.tracking.code_identity import (
    CodeIdentity,
    changed_files,
    code_of,
    describe_change,
    recorded_code,
)
from switchhead_lab.variants.registry import all_variants

SWITCHHEAD_MODULE = "switchhead_lab/model/attention/switchhead.py"
# Trains in a process of its own, and prints which of the lab's modules that loaded.
TRAIN = """
import json, sys
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels
from switchhead_lab.training.run import execute_run
config = RunConfig.model_validate_json(sys.argv[1])
execute_run(find_workspace(), config, RunLabels(size="tiny", variant="m"), index=NoIndex())
loaded = [name for name in sys.modules if name.startswith(("switchhead_lab", "switchhead_kernels"))]
print(json.dumps([loaded, sorted(code_of(config).files)]))
"""


def all_classes() -> list[type]:
    return [*all_variants(), *objectives().values()]


@pytest.mark.parametrize(
    "attention", [pytest.param("dense", marks=pytest.mark.thorough), "switchhead"]
)
def test_every_module_that_training_loads_and_that_can_matter_counts(
    workspace, tiny_config, attention
) -> None:
    config = tiny_config(attention)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, config.model_dump_json()],
        env={**os.environ, "LAB_HOME": str(workspace.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, counted = json.loads(done.stdout.splitlines()[-1])
    expected = {code_identity._file_of(name) for name in loaded if code_identity._can_matter(name)}
    # All variants and objectives are registered; a run is computed with its own only.
    registered = {code_identity._file_of(one.__module__) for one in all_classes()}
    assert expected - registered <= set(counted)
    assert expected > registered
    own = {"dense": "dense_attention", "switchhead": "switchhead"}[attention]
    assert f"switchhead_lab/variants/{own}.py" in counted


def test_it_names_the_files_of_the_runs_own_variants_only(tiny_config) -> None:
    dense, switchhead = code_of(tiny_config("dense")), code_of(tiny_config("switchhead"))
    assert SWITCHHEAD_MODULE in switchhead.own
    assert SWITCHHEAD_MODULE not in dense.files
    assert "switchhead_lab/model/attention/dense.py" in dense.own
    assert "switchhead_lab/training/loop.py" in {*dense.files} - {*dense.own}
    assert "switchhead_lab/data/listops.py" not in dense.files
    assert dense.digest != switchhead.digest


def test_kernels_count_with_their_cpp(tiny_config) -> None:
    files = code_of(tiny_config("switchhead")).files
    for name in ("expert_matmul/expert_matmul.cpp", "native/vectors.h", "relative_attention/op.py"):
        assert f"kernels/{name}" in files
    assert not [name for name in files if name.startswith("kernels/bench")]


def test_code_that_cannot_reach_the_model_does_not_count(tiny_config, edit) -> None:
    before = code_of(tiny_config("switchhead"))
    for file in (
        "switchhead_lab/reporting/report.py",
        "switchhead_lab/cli/sweep.py",
        "switchhead_lab/tracking/record.py",
        "switchhead_lab/sweeping/study.py",
        "switchhead_lab/model/attention/moa.py",
        "switchhead_lab/config/workspace.py",
        "kernels/bench/timing.py",
    ):
        edit(file)
    assert code_of(tiny_config("switchhead")) == before


def test_comments_and_docstrings_do_not_count(tiny_config, edit) -> None:
    before = code_of(tiny_config("switchhead"))
    edit(SWITCHHEAD_MODULE, '"""', '"""Now. ')
    assert code_of(tiny_config("switchhead")) == before
    edit("kernels/native/vectors.h", "\n", "\n// now\n")
    assert code_of(tiny_config("switchhead")) == before


def test_other_code_is_named_the_models_own_first(tiny_config, edit) -> None:
    config = tiny_config("switchhead")
    before = code_of(config)
    edit("switchhead_lab/data/batches.py")
    edit(SWITCHHEAD_MODULE)
    edit("kernels/native/vectors.h")
    now = code_of(config)
    names = [SWITCHHEAD_MODULE, "kernels/native/vectors.h", "switchhead_lab/data/batches.py"]
    assert changed_files(before, now) == names
    assert describe_change(before, now) == f"{', '.join(names)} changed"
    assert describe_change(before, before) == ""
    assert describe_change(None, now) == "its code was not recorded"
    # Dense runs do not compute with SwitchHead's module.
    assert SWITCHHEAD_MODULE not in code_of(tiny_config("dense")).files


def test_many_changed_files_are_counted() -> None:
    one, other = (CodeIdentity({f"{i}.py": text for i in range(7)}, ()) for text in "ab")
    assert describe_change(one, other) == "0.py, 1.py, 2.py, 3.py, 4.py and 2 more changed"


def test_a_provenance_returns_what_was_recorded(tiny_config) -> None:
    code = code_of(tiny_config())
    data = json.loads(json.dumps({"code": code.as_data()}))
    assert recorded_code(data) == code
    assert data["code"]["hash"] == code.digest
    assert recorded_code({}) is None
