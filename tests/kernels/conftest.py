import pytest

from switchhead_kernels.native import build


@pytest.fixture(params=["kernels", "operators"])
def by_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test with the CPU kernels and as where they cannot be built; tell which."""
    if request.param == "operators":
        monkeypatch.setattr(build, "why_unavailable", lambda: "switched off")
    return request.param == "kernels"
