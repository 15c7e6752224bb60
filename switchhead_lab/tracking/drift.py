"""Drift: changes between attempts of a run that may change its results.

A run resumed under different code, versions, threads or kernels is not reproducible under either.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from switchhead_lab.tracking.code_identity import describe_change, recorded_code

# Facts about the device that can change results, with display names.
_DEVICE_FACTS = {
    "device": "device",
    "device_name": "device name",
    "precision": "precision",
    "n_threads": "threads",
    "cpu_capability": "CPU instructions",
    "onednn_fp32_matmul": "oneDNN for float32 matmuls",
    "expert_projections": "kernels of expert projections",
    "fused_passes": "fused passes",
}
_PACKAGES = ("torch", "triton", "numpy")


def find_drift(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what changed since an earlier attempt, one line per change.

    Args:
        before: Provenance of the earlier attempt.
        now: Provenance of the attempt about to start.
    """
    return [
        *_changed_code(before, now),
        *_changed_versions(before, now),
        *_changed_device(before, now),
    ]


def _changed_code(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    code = recorded_code(now)
    assert code is not None, "an attempt about to start has a code identity"
    if change := describe_change(recorded_code(before), code):
        yield f"code: {change}"


def _changed_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = before.get("versions") or {}, now.get("versions") or {}
    for name in _PACKAGES:
        if name in old and old[name] != new.get(name):
            yield f"{name}: {old[name]} before, {new.get(name)} now"


def _changed_device(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = before.get("device") or {}, now.get("device") or {}
    for key, name in _DEVICE_FACTS.items():
        if key in old and old[key] != new.get(key):
            yield f"{name}: {old[key]} before, {new.get(key)} now"
