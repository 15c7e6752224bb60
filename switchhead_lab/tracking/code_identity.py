"""The code identity of a run: the hash of the source that computes it.

A run depends on the modules that training imports and on those of its own variants and objective.
Other variants, reports, records, searches and the command line cannot change its results. Comments
and docstrings do not count.
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from switchhead_lab.config.plugins import plugins_of
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.source_text import imported_names, meaning_of

KEY = "code"
_LAB, _KERNELS = "switchhead_lab", "switchhead_kernels"
_FOLDERS = {_LAB: "switchhead_lab", _KERNELS: "kernels"}
_SUFFIXES = (".py", ".cpp", ".h")
_SHARED_ROOT = f"{_LAB}.training.run"
# Packages whose modules can change results.
_COMPUTING = ("config", "data", "model", "objectives", "training", "variants")
# Modules in them that cannot: displays, settings, declarations of sweeps and contract checks; the
# registries' lists would make every variant depend on all others.
_LEFT_OUT = frozenset(
    f"{_LAB}.{name}"
    for name in (
        *(
            f"config.{name}"
            for name in (
                "addresses",
                "claimed",
                "claims",
                "clusters",
                "cost_names",
                "declared",
                "evaluation",
                "fields",
                "files",
                "names",
                "plugins",
                "redaction",
                "search",
                "sources",
                "sweep",
                "sweep_files",
                "workspace",
                "zero_shot",
            )
        ),
        "data.file_errors",
        "data.listing",
        "objectives.builtin",
        "training.diagnosis",
        "training.progress",
        "variants.builtin",
        "variants.contract",
        "variants.examples",
    )
)
_N_FILES_NAMED = 5


@dataclass(frozen=True)
class CodeIdentity:
    """The source that computes a run.

    Attributes:
        files: Hash (16 hex digits) of each source file, by path.
        own: Those files that only the run's own variants and objective need.
    """

    files: Mapping[str, str]
    own: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Hash of all files, 16 hex digits."""
        return _hash(json.dumps(self.files, sort_keys=True).encode())

    def as_data(self) -> dict[str, Any]:
        """Return plain data for the provenance."""
        return {"hash": self.digest, "own": list(self.own), "files": dict(self.files)}


def code_of(config: RunConfig) -> CodeIdentity:
    """Return the identity of the code that would compute a run now."""
    files, own = _own_code(_own_roots(config))
    plugins = {
        plugin_key(name): hash_of_source(name, source)
        for plugin in plugins_of(config)
        for name, source in plugin.sources.items()
    }
    return CodeIdentity({**files, **plugins}, (*own, *plugins))


def plugin_key(name: str) -> str:
    """Return the key of a plugin's file among the files of a code identity."""
    return f"plugin {name}"


def hash_of_source(name: str, source: bytes) -> str:
    """Return the hash of a source file (16 hex digits), which comments do not change."""
    return _hash(meaning_of(name, source))


@cache
def _own_code(roots: tuple[str, ...]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the hashes of the files of runs with these modules, and those files of their own."""
    reached = _closure((_SHARED_ROOT, *roots))
    return _hashes(reached), tuple(sorted(reached - _closure((_SHARED_ROOT,))))


def recorded_code(provenance: Mapping[str, Any]) -> CodeIdentity | None:
    """Return the code identity in a run's provenance; None if it has none."""
    data = provenance.get(KEY)
    if not isinstance(data, Mapping) or "files" not in data:
        return None
    return CodeIdentity(dict(data["files"]), tuple(data.get("own", ())))


def changed_files(before: CodeIdentity, now: CodeIdentity) -> list[str]:
    """Return the source files in which two identities differ, a model's own first."""
    if before.files == now.files:  # of a thousand runs, nearly all
        return []
    changed = [
        name
        for name in sorted({*before.files, *now.files})
        if before.files.get(name) != now.files.get(name)
    ]
    own = {*before.own, *now.own}
    return sorted(changed, key=lambda name: name not in own)


def describe_change(before: CodeIdentity | None, now: CodeIdentity) -> str:
    """Return which code of a run changed, for a message; empty if none did.

    Args:
        before: Identity of the run; None if its provenance has none.
        now: Identity that it would have now.
    """
    if before is None:
        return "its code was not recorded"
    names = changed_files(before, now)
    return f"{describe_files(names)} changed" if names else ""


def describe_files(names: Sequence[str]) -> str:
    """Return file names for a message, the first five of many."""
    n_more = len(names) - _N_FILES_NAMED
    more = f" and {n_more} more" if n_more > 0 else ""
    return ", ".join(names[:_N_FILES_NAMED]) + more


def _own_roots(config: RunConfig) -> tuple[str, ...]:
    """Return the modules of a run's variants, objective and data."""
    parts = (config.model.attention, config.model.feedforward, config.objective, config.data)
    named = [getattr(part, "module", "").partition(":")[0] for part in parts]
    return (*(type(part).__module__ for part in parts), *filter(None, named))


@cache
def _closure(roots: tuple[str, ...]) -> frozenset[str]:
    """Return the files that can change results and that modules import, directly or not.

    Imports inside functions count.
    """
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        file = _file_of(name) if _can_matter(name) else None
        if file is not None and file not in found:
            found.add(file)
            waiting += [name.rpartition(".")[0], *_imports_of(file)]
    return frozenset(found)


@cache
def _imports_of(file: str) -> tuple[str, ...]:
    """Return the modules that a file imports; several closures share most files."""
    return tuple(imported_names(_sources()[file]))


def _can_matter(name: str) -> bool:
    package, *rest = name.split(".")
    if package == _KERNELS:
        return rest[:1] != ["bench"]
    return package == _LAB and bool(rest) and rest[0] in _COMPUTING and name not in _LEFT_OUT


@cache
def _sources() -> dict[str, bytes]:
    """Return the source files of the lab and its kernels by path, as the process first saw them.

    All are read at once: files edited later are not the code that the process runs.
    """
    found = {}
    for package, folder in _FOLDERS.items():
        spec = importlib.util.find_spec(package)
        assert spec is not None, f"{package} is installed with the lab"
        assert spec.origin is not None, f"{package} is a package with a file"
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*")):
            if path.suffix in _SUFFIXES:
                found[f"{folder}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    return found


@cache
def _file_of(module: str) -> str | None:
    """Return the path of a module of ours; None if there is none, as for a class's name."""
    package, _, rest = module.partition(".")
    stem = "/".join([_FOLDERS[package], *filter(None, rest.split("."))])
    return next((p for p in (f"{stem}.py", f"{stem}/__init__.py") if p in _sources()), None)


def _hashes(files: Iterable[str]) -> dict[str, str]:
    """Return the hashes of source files, with those of the C++ files beside kernels."""
    all_files = set(files)
    kernels = {file.rpartition("/")[0] for file in all_files if file.startswith("kernels/")}
    for file in _sources():
        if not file.endswith(".py") and file.rpartition("/")[0] in kernels:
            all_files.add(file)
    return {file: _hash_of(file) for file in sorted(all_files)}


@cache
def _hash_of(file: str) -> str:
    return hash_of_source(file, _sources()[file])


def _hash(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()[:16]
