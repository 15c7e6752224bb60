import platform

import pytest
import torch

from switchhead_kernels.native import build
from switchhead_lab.errors import ConfigError
from switchhead_lab.training import compute_setup


def test_float32_matmuls_stay_float32() -> None:
    compute_setup.use_onednn_for_fp32()
    assert compute_setup.fp32_matmul_error() < 1e-5


def test_onednn_is_not_used_where_it_would_round(monkeypatch) -> None:
    monkeypatch.setattr(compute_setup, "_error_with_onednn", lambda: 2e-3)
    assert compute_setup.use_onednn_for_fp32() is False
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_facts_are_recorded() -> None:
    found = compute_setup.prepare_setup("cpu", "fp32")
    assert (found.device.type, found.precision) == ("cpu", "fp32")
    assert found.facts["n_threads"] == torch.get_num_threads()
    assert found.description.startswith("cpu (")
    if platform.libc_ver()[0] == "glibc":
        assert found.facts["keeps_large_blocks"] is True


def test_auto_precision_follows_the_device(monkeypatch) -> None:
    monkeypatch.setattr(compute_setup, "has_fast_bf16", lambda device: True)
    assert compute_setup.prepare_setup("cpu", "auto").precision == "bf16"
    assert compute_setup.prepare_setup("cpu", "fp32").precision == "fp32"
    monkeypatch.setattr(compute_setup, "has_fast_bf16", lambda device: False)
    assert compute_setup.prepare_setup("cpu", "auto").precision == "fp32"
    assert compute_setup.prepare_setup("cpu", "bf16").precision == "bf16"


def test_a_missing_device_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match='device "cuda" is not available here; use auto or'):
        compute_setup.prepare_setup("cuda", "auto")


def test_compiled_blocks_are_rejected_on_a_cpu() -> None:
    with pytest.raises(ConfigError, match="training.compile_blocks = true but the device is a CPU"):
        compute_setup.prepare_setup("cpu", "auto", compiles_blocks=True)


def test_kernels_are_recorded() -> None:
    facts = compute_setup.prepare_setup("cpu", "bf16").facts
    has_kernels = not build.why_unavailable()
    assert facts["expert_projections"].startswith("cpu (matmuls: ") == has_kernels
    assert (facts["fused_passes"] == "fused C++") == has_kernels


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(monkeypatch, cuda, mps, chosen) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert compute_setup.choose_device("auto").type == chosen
