import pytest

from switchhead_kernels.native import build
from switchhead_lab.training.diagnosis import describe_kernel_cache


def test_a_missing_kernel_cache_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise build.KernelUnavailableError("the home folder is not known")

    monkeypatch.setattr("switchhead_lab.training.diagnosis.cache_dir", refuse)
    assert describe_kernel_cache() == "none: the home folder is not known"
