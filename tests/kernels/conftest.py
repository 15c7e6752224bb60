import pytest

from switchhead_kernels.native import build


@pytest.fixture(params=["kernels", "operators"])
def by_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test with and without the CPU kernels; return whether they are used."""
    if request.param == "operators":
        monkeypatch.setattr(build, "why_unavailable", lambda: "switched off")
    return request.param == "kernels"
