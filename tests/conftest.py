"""How tests run: their options, their limits, and when garbage is looked for.

What they share is in shared_fixtures.py.
"""

import gc

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="Record golden losses anew.")


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, with the libraries that they need, in processes that run tests."""
    if _only_distributes(config):
        return
    # Collection makes a million objects that stay: looking through them for garbage takes a third
    # of its time, and much of what follows, until they are set aside below.
    gc.disable()
    config.pluginmanager.import_plugin("shared_fixtures")


def _only_distributes(config: pytest.Config) -> bool:
    """Return whether this process leaves all tests to workers of its own."""
    return config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that take minutes an hour, and let one worker start all the processes."""
    items.sort(key=lambda item: item.get_closest_marker("processes") is None)
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("drill"):
            item.add_marker(pytest.mark.timeout(3600))


def pytest_collection_finish() -> None:
    """Look for garbage again, but not among libraries and tests, which stay to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 50)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Find errors in finalisers, as pytest does next, which looks ten times at what is left."""
    for _ in range(5):  # finalisers may leave more
        if not gc.collect():
            break
    gc.freeze()
