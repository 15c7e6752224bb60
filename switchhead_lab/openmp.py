"""How long OpenMP's threads spin before they sleep, set before PyTorch loads the runtime.

Threads that wait at a barrier spin, in case the others arrive soon. While another process uses the
cores, the thread they wait for may not be running, and spinning takes the time in which it could:
with libgomp's default of 300,000 iterations, training beside such a process is many times slower.
`lab bench neighbour` measures it.
"""

import os
import sys
from collections.abc import Mapping
from typing import Literal

SPIN_VARIABLE = "GOMP_SPINCOUNT"
SPIN_COUNT = 2000
"""Iterations before a waiting thread sleeps."""
VARIABLES = (SPIN_VARIABLE, "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
"""Variables that set how threads wait; LLVM's and Intel's runtimes read KMP_BLOCKTIME."""
# Tells child processes that the value they inherit is not the user's.
_MARK = "SWITCHHEAD_LAB_SPINCOUNT"


def limit_spinning() -> None:
    """Set the spin count in the environment, unless the user chose how threads wait.

    The runtime reads the environment once, so nothing is set if PyTorch was imported earlier.
    """
    if "torch" in sys.modules or any(name in os.environ for name in VARIABLES):
        return
    os.environ[SPIN_VARIABLE] = os.environ[_MARK] = str(SPIN_COUNT)


def wait_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that set how threads wait."""
    return {name: environment[name] for name in VARIABLES if name in environment}


def settings_author(environment: Mapping[str, str]) -> Literal["user", "lab", ""]:
    """Return who set how threads wait; empty if nobody did."""
    settings = wait_settings(environment)
    if not settings:
        return ""
    return "lab" if settings == {SPIN_VARIABLE: environment.get(_MARK)} else "user"


def without_wait_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing sets how threads wait."""
    return {name: value for name, value in environment.items() if name not in (*VARIABLES, _MARK)}
