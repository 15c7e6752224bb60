"""Sweep files: find them, resolve a size, and make the run configurations they declare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import apply_overrides, merge_trees, near_miss, parse, read_toml
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as written: a base declaration and its sizes."""

    path: Path
    base: dict[str, Any]
    sizes: dict[str, dict[str, Any]]
    default_size: str

    def resolve(self, size: str = "", overrides: Iterable[str] = ()) -> Sweep:
        """Return the declaration at one size, with `a.b=c` overrides applied last.

        Args:
            size: Name of a size; empty takes the file's default.
            overrides: Assignments as given to `--set`.

        Raises:
            ConfigError: If the size is unknown or the result is not a valid sweep.
        """
        size = size or self.default_size
        tree = merge_trees(self.base, self._overlay(size, ()))
        tree["size"] = size
        return parse(Sweep, apply_overrides(tree, overrides), str(self.path))

    def _overlay(self, size: str, seen: tuple[str, ...]) -> dict[str, Any]:
        if size not in self.sizes:
            known = sorted(self.sizes)
            raise ConfigError(
                f'{self.path}: no size "{size}"{near_miss(size, known)}; sizes: {", ".join(known)}'
            )
        if size in seen:
            raise ConfigError(f'{self.path}: size "{size}" extends itself')
        overlay = dict(self.sizes[size])
        parent = overlay.pop("extends", "")
        if not parent:
            return overlay
        return merge_trees(self._overlay(parent, (*seen, size)), overlay)


def read_sweep_file(path: Path) -> SweepFile:
    """Read a sweep file without resolving a size.

    A key `base` names a file beside it, whose keys it replaces, so that sweeps which share
    sizes and training say them once; `sizes.NAME = false` leaves a size of the base out.

    Raises:
        ConfigError: If a file cannot be read or no sizes are declared.
    """
    tree = _read_with_base(path, ())
    sizes = tree.pop("sizes", None)
    default_size = tree.pop("default_size", "")
    if not isinstance(sizes, Mapping) or not sizes:
        raise ConfigError(f"{path}: no [sizes.NAME] table; declare at least one size")
    default_size = default_size or next(iter(sizes))
    declared = {name: dict(size) for name, size in sizes.items() if size is not False}
    return SweepFile(path, tree, declared, default_size)


def _read_with_base(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"{path}: is its own base")
    tree = read_toml(path)
    base = tree.pop("base", "")
    if not base:
        return tree
    return merge_trees(_read_with_base(path.parent / base, (*seen, path)), tree)


def list_sweep_files(sweeps_dir: Path) -> list[Path]:
    """Return every sweep file below a folder, in order of name; `_` begins a mere base."""
    return sorted(path for path in sweeps_dir.rglob("*.toml") if not path.name.startswith("_"))


def find_sweep(sweeps_dir: Path, name: str) -> SweepFile:
    """Find a sweep by name (`matched-params`, `smoke/matched-params`) or by path to its file.

    Raises:
        ConfigError: If there is none; the message lists the names that exist.
    """
    by_name = {
        str(path.relative_to(sweeps_dir).with_suffix("")): path
        for path in list_sweep_files(sweeps_dir)
    }
    if name in by_name:
        return read_sweep_file(by_name[name])
    if name.endswith(".toml"):
        return read_sweep_file(Path(name))
    known = ", ".join(by_name) or "none"
    raise ConfigError(
        f'no sweep "{name}"{near_miss(name, list(by_name))} in {sweeps_dir}; sweeps: {known}'
    )
