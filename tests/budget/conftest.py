import tomllib
from importlib.resources import files
from typing import Any

import pytest


@pytest.fixture(scope="session")
def paper_figures() -> dict[str, Any]:
    """The paper's printed figures."""
    text = files("switchhead_lab.paper").joinpath("switchhead.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
