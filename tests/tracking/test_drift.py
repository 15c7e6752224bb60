"""Every change between two attempts that may change results is drift, and is named."""

from typing import Any

import pytest

from switchhead_lab.tracking.drift import find_drift

CODE = {"hash": "c", "own": [], "files": {"switchhead_lab/model/router.py": "c" * 16}}
BEFORE: dict[str, Any] = {
    "code": CODE,
    "versions": {"torch": "2.13.0", "triton": "3.7.1", "numpy": "2.4.6", "pandas": "3.0.0"},
    "device": {
        "device": "cpu",
        "device_name": "a CPU",
        "precision": "fp32",
        "n_threads": 2,
        "cpu_capability": "AVX512",
        "onednn_fp32_matmul": True,
        "expert_projections": "cpu",
        "fused_passes": "fused C++",
    },
}


def changed(section: str, key: str, value: object) -> dict[str, Any]:
    return {**BEFORE, section: {**BEFORE[section], key: value}}


def test_equal_conditions_are_no_drift() -> None:
    assert find_drift(BEFORE, BEFORE) == []
    assert find_drift(BEFORE, changed("versions", "pandas", "4.0.0")) == []


@pytest.mark.parametrize("package", ["torch", "triton", "numpy"])
def test_another_version_of_what_computes_is_drift(package: str) -> None:
    before = BEFORE["versions"][package]
    lines = find_drift(BEFORE, changed("versions", package, "9.9"))
    assert lines == [f"{package}: {before} before, 9.9 now"]


@pytest.mark.parametrize("fact", BEFORE["device"])
def test_another_device_or_kernel_is_drift(fact: str) -> None:
    before = BEFORE["device"][fact]
    (line,) = find_drift(BEFORE, changed("device", fact, "other"))
    assert line.endswith(f": {before} before, other now")


def test_facts_that_were_not_recorded_are_not_compared() -> None:
    assert find_drift({**BEFORE, "versions": {}, "device": None}, BEFORE) == []


def test_other_code_is_drift() -> None:
    files = {"switchhead_lab/model/router.py": "d" * 16}
    (line,) = find_drift(BEFORE, {**BEFORE, "code": {**CODE, "files": files}})
    assert line == "code: switchhead_lab/model/router.py changed"
