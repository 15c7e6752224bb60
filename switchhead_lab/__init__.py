"""Fair, repeatable comparisons of mixture-of-experts Transformers with dense ones.

Trained runs as Python objects and tables: `open_run`, `runs` and `sweep`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from switchhead_lab.openmp import limit_spinning

if TYPE_CHECKING:
    from switchhead_lab.trained.run import open_run
    from switchhead_lab.trained.table import runs, sweep

__version__ = "0.1.0"
__all__ = ["__version__", "open_run", "runs", "sweep"]

# Imported on first use: torch and pandas take seconds to import.
_MODULES = {
    "open_run": "switchhead_lab.trained.run",
    "runs": "switchhead_lab.trained.table",
    "sweep": "switchhead_lab.trained.table",
}

# Here, because every module of the package imports this one first, and torch reads it only once.
limit_spinning()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
