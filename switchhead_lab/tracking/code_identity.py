"""Which code computes a run: hashes of the sources that its numbers depend on."""

import hashlib
from functools import cache
from pathlib import Path

import switchhead_lab

# Records, reports, searches and the command line may change without changing a number.
_PACKAGES = ("variants", "objectives", "config", "data", "model", "training")
_SUFFIXES = (".py", ".cpp", ".h")
_LEFT_OUT = ("kernels/bench",)


@cache
def source_hashes() -> dict[str, str]:
    """Return the SHA-256 (16 hex digits) of each source that computes runs, by path."""
    package = Path(switchhead_lab.__file__).parent
    root = package.parent
    folders = [*(package / name for name in _PACKAGES), root / "kernels"]
    paths = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix in _SUFFIXES
    )
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for name, path in named.items()
        if not name.startswith(_LEFT_OUT)
    }
