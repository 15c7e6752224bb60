"""Sweep files: find them, read them and resolve a size."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import apply_overrides, merge_trees, near_miss, parse, read_toml
from switchhead_lab.config.search import with_default_name
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as written: a base declaration and its sizes.

    Attributes:
        path: The file.
        base: Declaration shared by all sizes.
        sizes: Overlay of each size.
        default_size: Size if none is named.
        ladder: Sizes that are run and compared together if none is named; empty without a ladder.
    """

    path: Path
    base: dict[str, Any]
    sizes: dict[str, dict[str, Any]]
    default_size: str
    ladder: tuple[str, ...] = ()

    def resolve(self, size: str = "", overrides: Iterable[str] = ()) -> Sweep:
        """Return the declaration at one size, with `a.b=c` overrides applied last.

        Args:
            size: Name of a size; empty takes the file's default.
            overrides: Assignments as given to `--set`.

        Raises:
            ConfigError: If the size is unknown or the result is not a valid sweep.
        """
        size = size or self.default_size
        tree = _merge(self.base, self._overlay(size, ()))
        tree["size"] = size
        return parse(Sweep, apply_overrides(tree, overrides, Sweep), str(self.path))

    def resolve_all(self, size: str = "", overrides: Sequence[str] = ()) -> list[Sweep]:
        """Return the declaration at the named size; if none is named, at every size of the ladder.

        Without a ladder that is the default size. Raises as `resolve` does.
        """
        sizes = [size] if size else self.default_sizes
        return [self.resolve(one, overrides) for one in sizes]

    @property
    def default_sizes(self) -> tuple[str, ...]:
        """Sizes that are run if none is named."""
        return self.ladder or (self.default_size,)

    def _overlay(self, size: str, seen: tuple[str, ...]) -> dict[str, Any]:
        if size not in self.sizes:
            known = sorted(self.sizes)
            raise ConfigError(
                f'{self.path}: no size "{size}"{near_miss(size, known)}; sizes: {", ".join(known)}'
            )
        if size in seen:
            raise ConfigError(f'{self.path}: size "{size}" extends itself')
        overlay = dict(self.sizes[size])
        parent = _pop_text(overlay, "extends", "a size", f"{self.path}: sizes.{size}.")
        if not parent:
            return overlay
        return _merge(self._overlay(parent, (*seen, size)), overlay)


def read_sweep_file(path: Path) -> SweepFile:
    """Read a sweep file without resolving a size.

    The key `base` names a file in the same folder whose keys this file overrides, so that sweeps
    can share sizes and training; `sizes.NAME = false` drops a size of the base.

    Raises:
        ConfigError: If a file cannot be read or no sizes are declared.
    """
    tree = _read_with_base(path, ())
    sizes = tree.pop("sizes", None)
    if not isinstance(sizes, Mapping):
        raise ConfigError(f"{path}: no [sizes.NAME] table; declare at least one size")
    declared = {}
    for name, size in sizes.items():
        if isinstance(size, Mapping):
            declared[name] = dict(size)
        elif size is not False:
            raise ConfigError(
                f"{path}: sizes.{name} is not a table; write [sizes.{name}], or "
                f"sizes.{name} = false to drop a size of the base"
            )
    if not declared:
        raise ConfigError(f"{path}: no [sizes.NAME] table; declare at least one size")
    default_size = _pop_text(tree, "default_size", "a size", f"{path}: ") or next(iter(declared))
    if default_size not in declared:
        raise ConfigError(
            f'{path}: default_size = "{default_size}"{near_miss(default_size, list(declared))}: '
            f"no such size; sizes: {', '.join(declared)}"
        )
    return SweepFile(path, tree, declared, default_size, _ladder_of(tree, declared, path))


def _ladder_of(tree: Mapping[str, Any], sizes: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the sizes of the ladder, each of which must exist."""
    ladder = tree.get("ladder", [])
    known = ", ".join(sizes)
    if not isinstance(ladder, list) or not all(isinstance(size, str) for size in ladder):
        raise ConfigError(f"{path}: ladder = {ladder!r}: write a list of sizes; sizes: {known}")
    for size in ladder:
        if size not in sizes:
            raise ConfigError(
                f'{path}: ladder names "{size}"{near_miss(size, list(sizes))}: no such size; '
                f"sizes: {known}"
            )
    if len(set(ladder)) != len(ladder) or len(ladder) == 1:
        raise ConfigError(
            f"{path}: ladder = {ladder!r}: name at least two sizes, each once, smallest first"
        )
    return tuple(ladder)


def _read_with_base(path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    real_path = os.path.realpath(path)
    if real_path in seen:
        raise ConfigError(f"{path}: is its own base")
    tree = read_toml(path)
    base = _pop_text(tree, "base", "a file beside this one", f"{path}: ")
    if not base:
        return tree
    return _merge(_read_with_base(path.parent / base, (*seen, real_path)), tree)


def _merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two declarations; studies of the same name are merged like tables."""
    merged = merge_trees(base, overlay)
    ours, theirs = (_with_names(tree.get("studies")) for tree in (base, overlay))
    if "studies" in merged:
        merged["studies"] = theirs if "studies" in overlay else ours
    if _are_named(ours) and _are_named(theirs):
        by_name: dict[str, Any] = {}
        for study in (*ours, *theirs):
            by_name[study["name"]] = merge_trees(by_name.get(study["name"], {}), study)
        merged["studies"] = list(by_name.values())
    return merged


def _with_names(studies: Any) -> Any:
    """Return studies with default names filled in, by which they are merged and overridden."""
    if not isinstance(studies, list):
        return studies
    return [with_default_name(study) for study in studies]


def _are_named(studies: Any) -> bool:
    return isinstance(studies, list) and all(
        isinstance(study, dict) and isinstance(study.get("name"), str) for study in studies
    )


def _pop_text(tree: dict[str, Any], key: str, meaning: str, source: str) -> str:
    """Pop a string that is not in the schema; empty if missing."""
    value = tree.pop(key, "")
    if not isinstance(value, str) or "\0" in value:
        raise ConfigError(f"{source}{key} = {value!r}: write the name of {meaning} in quotes")
    return value


def list_sweep_files(sweeps_dir: Path) -> list[Path]:
    """Return every sweep file below a folder, in order of name.

    Skips names with a leading `_`, which are bases, and with a leading `.`, such as editor copies.
    """
    return sorted(
        path
        for path in sweeps_dir.rglob("*.toml")
        if not path.name.startswith("_")
        and not any(part.startswith(".") for part in path.relative_to(sweeps_dir).parts)
    )


def recorded_name(sweeps_dir: Path, name: str) -> str:
    """Return the recorded name of a sweep, given that name or the argument of `lab sweep`.

    Args:
        sweeps_dir: Folder of sweep files.
        name: Name in the file, or of the file; returned unchanged if no file has that name.

    Raises:
        ConfigError: If the file of that name cannot be read.
    """
    path = _path_of(_files_by_name(sweeps_dir), name)
    return name if path is None else str(read_sweep_file(path).base.get("name", name))


def find_sweep(sweeps_dir: Path, name: str) -> SweepFile:
    """Find a sweep by name (`matched-params`, `smoke/matched-params`) or by path to its file.

    Raises:
        ConfigError: If there is none; the message lists the known names.
    """
    by_name = _files_by_name(sweeps_dir)
    path = _path_of(by_name, name)
    if path is not None:
        return read_sweep_file(path)
    known = ", ".join(by_name) or "none"
    raise ConfigError(
        f'no sweep "{name}"{near_miss(name, list(by_name))} in {sweeps_dir}; sweeps: {known}'
    )


def _path_of(by_name: Mapping[str, Path], name: str) -> Path | None:
    return by_name.get(name) or (Path(name) if name.endswith(".toml") else None)


def _files_by_name(sweeps_dir: Path) -> dict[str, Path]:
    return {
        str(path.relative_to(sweeps_dir).with_suffix("")): path
        for path in list_sweep_files(sweeps_dir)
    }
