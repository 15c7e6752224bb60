"""Commands for a recorded sweep, with the overrides that it was run with."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import SweepFile, list_sweep_files, read_sweep_file
from switchhead_lab.errors import ConfigError
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.sweep_record import OUTSIDE_ID, sweep_id

# What no override needs to set. The number of trials is outside a sweep's id, but changes what the
# command would train.
_NOT_COMPARED = {"name", "size", *OUTSIDE_ID} - {"n_tuning_trials"}

Verb = Literal["sweep", "sweep resume", "sweep retry", "bench step"]
"""A command of the lab that takes a sweep with its size and overrides."""


def sweep_command(
    sweep: Sweep,
    sweeps_dir: Path | None,
    verb: Verb = "sweep",
    options: tuple[str, ...] = (),
    size: str = "",
) -> str:
    """Return a command for a recorded sweep: by default the one that continues it.

    Options set what the sweep's file declares otherwise.

    Args:
        sweep: The declaration, as recorded.
        sweeps_dir: Folder of sweep files; None if unknown.
        verb: The command.
        options: Its other options.
        size: Another size to run with the same overrides.

    Returns:
        The command; empty if no file declares the sweep now.
    """
    words = _sweep_words(sweep, sweeps_dir, size or sweep.size)
    return shlex.join(["lab", *verb.split(), *words, *options]) if words else ""


def declared_command(sweeps_dir: Path | None, name: str, size: str = "") -> str:
    """Return the command that runs a sweep by its recorded name, as its file declares it.

    Args:
        sweeps_dir: Folder of sweep files; None if unknown.
        name: Recorded name of the sweep.
        size: Size to run; empty for the file's default.

    Returns:
        The command; empty if no file declares such a sweep, or not at this size.
    """
    if sweeps_dir is None:
        return ""
    for path in list_sweep_files(sweeps_dir):
        try:
            file = read_sweep_file(path)
        except ConfigError:  # a broken file declares nothing
            continue
        if file.base.get("name") == name and (not size or size in file.sizes):
            words = ["lab", "sweep", _argument(path, sweeps_dir)]
            return shlex.join([*words, *(["--size", size] if size else [])])
    return ""


def how_to(
    sweep: Sweep,
    sweeps_dir: Path | None,
    what: str,
    verb: Verb = "sweep",
    options: tuple[str, ...] = (),
) -> str:
    """Return a clause with a command for a recorded sweep, or that there is none now.

    Args:
        sweep: The declaration, as recorded.
        sweeps_dir: Folder of sweep files; None if unknown.
        what: What the command does, such as "retrains them".
        verb: The command.
        options: Its other options.
    """
    command = sweep_command(sweep, sweeps_dir, verb, options)
    if command:
        return f"`{command}` {what}"
    generic = " ".join([f"lab {verb}", *options])
    return (
        f"`{generic}` {what}, with the sweep and the overrides of this declaration, which no sweep "
        "file gives now"
    )


def _sweep_words(sweep: Sweep, sweeps_dir: Path | None, size: str) -> list[str]:
    """Return name, size and overrides of a recorded sweep; empty if no file declares it now."""
    if sweeps_dir is None:
        return []
    for path in list_sweep_files(sweeps_dir):
        try:
            file = read_sweep_file(path)
            if file.base.get("name") != sweep.name:
                continue
            overrides = _overrides(sweep, file)
        except ConfigError:  # a broken file declares nothing
            continue
        if overrides is not None:
            sets = [word for one in overrides for word in ("--set", one)]
            return [_argument(path, sweeps_dir), "--size", size, *sets]
    return []


def _argument(path: Path, sweeps_dir: Path) -> str:
    """Return the argument that names a sweep file: with its folder, which recorded names lack."""
    return path.relative_to(sweeps_dir).with_suffix("").as_posix()


def _overrides(sweep: Sweep, file: SweepFile) -> list[str] | None:
    """Return the assignments that make a file's declaration that of a sweep; None if none do.

    Raises:
        ConfigError: If the file or the result is not a valid sweep.
    """
    overrides = list(_differences(sweep, file.resolve(sweep.size)))
    found = file.resolve(sweep.size, overrides)
    is_same = sweep_id(found) == sweep_id(sweep) and _models(sweep) == _models(found)
    return overrides if is_same else None


def _differences(sweep: Sweep, declared: Sweep) -> Iterator[str]:
    """Yield the assignments of values that differ from the declared ones."""
    wanted, known = _values(sweep), _values(declared)
    for path, value in wanted.items():
        if value is not None and known.get(path) != value:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{path}={text}"


def _values(sweep: Sweep) -> dict[str, Any]:
    tree = sweep.model_dump(mode="json", exclude=_NOT_COMPARED)
    tree["baseline"].pop("seeds")
    return dict(flatten(tree))


def _models(sweep: Sweep) -> dict[str, Any]:
    """Return the declared models and studies without seeds, which verdicts may have added."""
    entries: dict[str, FrozenModel] = {sweep.baseline.name: sweep.baseline}
    entries |= {model.name: model for model in sweep.models}
    entries |= {study.name: study for study in sweep.studies}
    return {
        name: entry.model_dump(mode="json", exclude={"seeds"}) for name, entry in entries.items()
    }
