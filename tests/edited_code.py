"""Pretend that a source file of the lab was edited after the runs of a test."""

from collections.abc import Callable, Iterator

import pytest

from switchhead_lab.tracking import code_identity

Edit = Callable[..., None]


def _forget() -> None:
    for known in (
        *(code_identity._file_of, code_identity._imports_of, code_identity._closure),
        *(code_identity._hash_of, code_identity._own_code),
    ):
        known.cache_clear()


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Append a statement to a source file, or replace a text in it, as the lab sees it."""

    def change(file: str, old: str = "", new: str = "") -> None:
        sources = dict(code_identity._sources())
        before = sources[file].decode()
        assert old in before
        after = before.replace(old, new, 1) if old else f"{before}\nEDITED = True\n"
        sources[file] = after.encode()
        monkeypatch.setattr(code_identity, "_sources", lambda: sources)
        _forget()

    yield change
    monkeypatch.undo()
    _forget()
