"""Every condition that may change a run's results is drift, named with its old and new value."""

import pytest

from switchhead_lab.tracking.drift import find_drift

BEFORE = {
    "code": {"hash": "h", "own": [], "files": {"switchhead_lab/a.py": "1"}},
    "versions": {"torch": "2.13", "triton": "3.7", "numpy": "2.4", "mlflow": "3.17"},
    "device": {
        **{"device": "cpu", "device_name": "a CPU", "precision": "fp32", "n_threads": 2},
        **{"cpu_capability": "AVX512", "onednn_fp32_matmul": True},
        **{"expert_projections": "cpu", "fused_passes": "fused C++"},
    },
}


def after(part: str, **changes: object) -> dict[str, dict[str, object]]:
    return {**BEFORE, part: {**BEFORE[part], **changes}}


def test_equal_conditions_are_no_drift() -> None:
    assert find_drift(BEFORE, BEFORE) == []
    # Tools that compute nothing.
    assert find_drift(BEFORE, after("versions", mlflow="3.18")) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "line"),
    [
        ("code", "files", {"switchhead_lab/a.py": "2"}, "code: switchhead_lab/a.py changed"),
        ("versions", "torch", "2.14", "torch: 2.13 before, 2.14 now"),
        ("versions", "triton", None, "triton: 3.7 before, None now"),
        ("versions", "numpy", "2.5", "numpy: 2.4 before, 2.5 now"),
        ("device", "device", "cuda", "device: cpu before, cuda now"),
        ("device", "device_name", "other", "device name: a CPU before, other now"),
        ("device", "precision", "bf16", "precision: fp32 before, bf16 now"),
        ("device", "n_threads", 1, "threads: 2 before, 1 now"),
        ("device", "cpu_capability", "AVX2", "CPU instructions: AVX512 before, AVX2 now"),
        (
            "device",
            "onednn_fp32_matmul",
            False,
            "oneDNN for float32 matmuls: True before, False now",
        ),
        (
            "device",
            "expert_projections",
            "dense",
            "kernels of expert projections: cpu before, dense now",
        ),
        ("device", "fused_passes", "none", "fused passes: fused C++ before, none now"),
    ],
)
def test_a_change_is_named(part: str, name: str, value: object, line: str) -> None:
    assert find_drift(BEFORE, after(part, **{name: value})) == [line]


def test_facts_that_were_not_recorded_are_not_compared() -> None:
    assert find_drift({**BEFORE, "versions": {}, "device": None}, BEFORE) == []
