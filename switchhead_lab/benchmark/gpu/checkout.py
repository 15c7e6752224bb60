"""Importing the kernels from a checkout that is not installed."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""Root of the checkout, with `switchhead_lab/`, `kernels/` and `sweeps/`."""

_PACKAGE = "switchhead_kernels"


def make_kernels_importable() -> None:
    """Import `kernels/` as `switchhead_kernels` unless that package is installed."""
    if _PACKAGE in sys.modules or importlib.util.find_spec(_PACKAGE) is not None:
        return
    folder = ROOT / "kernels"
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None, f"{folder} is a package"
    assert spec.loader is not None, f"{folder} is a package"
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)
