"""Waits of the lab are a fifth in tests, where those waited for are threads and processes."""

from collections.abc import Iterator

import pytest

from switchhead_lab.sweeping import study_storage, worker
from switchhead_lab.tracking import database_server, liveness

_WAITS = (
    (liveness, "_ACQUIRE_SECONDS"),
    (study_storage, "_STATEMENT_SECONDS"),
    (worker, "_POLL_SECONDS"),
    (database_server, "_FIRST_PAUSE_SECONDS"),
)


@pytest.fixture(scope="session", autouse=True)
def _short_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _WAITS:
            patch.setattr(module, name, getattr(module, name) / 5)
        yield
