"""Checks of a run directory: every hash in it, and that its files agree with each other."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import LabError
from switchhead_lab.tracking import file_names as files
from switchhead_lab.tracking.code_identity import hash_of_source, plugin_key, recorded_code
from switchhead_lab.tracking.document_losses import read_document_losses
from switchhead_lab.tracking.record import (
    SCORED_SPLITS,
    RunLabels,
    RunResult,
    RunStatus,
    read_config,
    read_status,
)
from switchhead_lab.tracking.record_files import read_json, read_model
from switchhead_lab.upkeep.check_list import CheckList
from switchhead_lab.upkeep.data_checks import DataChecks
from switchhead_lab.upkeep.evaluation_checks import check_evaluations
from switchhead_lab.upkeep.training_checks import check_checkpoints, check_metrics, check_result

_RESTORE = "restore it from a copy, or train the run again with --retrain"
_MODELS = (
    (files.LABELS_FILE, RunLabels),
    (files.STATUS_FILE, RunStatus),
    (files.RESULT_FILE, RunResult),
)


def check_run(
    directory: Path, data: DataChecks, *, name: str = "", root: Path | None = None
) -> CheckList:
    """Check a run directory; nothing is written, and no plugin is loaded from it.

    Args:
        directory: The directory.
        data: Checks of prepared data, shared by runs.
        name: Name that it should have; by default that of the directory.
        root: Folder that links in it must not leave; by default the directory.
    """
    checks = CheckList(name or directory.name)
    _check_links(checks, directory, root or directory)
    config: RunConfig | None = None
    with checks.reading(directory / files.CONFIG_FILE, _RESTORE):
        config = read_config(directory)
    for file_name, schema in _MODELS:
        path = directory / file_name
        if file_name != files.RESULT_FILE or path.exists():
            with checks.reading(path, _RESTORE):
                read_model(schema, path)
    _check_other_files(checks, directory)
    provenance = _provenance(checks, directory)
    if config is None or provenance is None:
        checks.unchecked.append(f"the rest of {checks.subject}: its configuration is unreadable")
        return checks
    run_hash = identity(config)
    checks.require(
        checks.subject.endswith(f"-{run_hash[:8]}"),
        directory,
        f"its configuration has the identity {run_hash[:8]}, which its name does not end with",
        "undo the change of the directory's name or of config.toml",
    )
    _check_state(checks, directory)
    path = directory / files.PROVENANCE_FILE
    with checks.reading(path, _RESTORE):
        _check_code(checks, directory, provenance)
    check_result(checks, directory, config, check_metrics(checks, directory, config))
    weights = check_checkpoints(checks, directory, run_hash)
    check_evaluations(checks, directory, weights)
    with checks.reading(path, _RESTORE):
        data.check(checks, path, config.data, provenance)
    return checks


def _check_links(checks: CheckList, directory: Path, root: Path) -> None:
    """Check that no link leads out of a folder."""
    inside = root.resolve()
    for path in [directory, *sorted(directory.rglob("*"))]:
        if path.is_symlink():
            checks.require(
                path.resolve().is_relative_to(inside),
                path,
                f"a link that leads out of {root}, to {path.resolve()}",
                "put a copy of the file in its place",
            )


def _check_state(checks: CheckList, directory: Path) -> None:
    """Check that the status of a run that no process trains says how it ended."""
    status = read_status(directory)
    has_result = (directory / files.RESULT_FILE).is_file()
    if status is None:  # a check of its own
        return
    path = directory / files.STATUS_FILE
    is_stale = status.state == "running" and not has_result
    fault = 'the status is "running", but no process trains it'
    checks.require(not is_stale, path, fault, "`lab doctor --fix` closes the run")
    checks.require(
        status.state != "finished" or has_result,
        path,
        f'the status is "finished", but there is no {files.RESULT_FILE}',
        _RESTORE,
    )


def _check_other_files(checks: CheckList, directory: Path) -> None:
    use = directory / files.ROUTER_USE_FILE
    if use.exists():
        with checks.reading(use, _RESTORE):
            read_json(use)
    for split in SCORED_SPLITS:
        path = directory / f"documents-{split}.json"
        with checks.reading(path, "delete it; `lab report` scores the documents again"):
            read_document_losses(directory, split)


def _provenance(checks: CheckList, directory: Path) -> dict[str, Any] | None:
    """Read the provenance of a run, and compare it with that of its last attempt."""
    path = directory / files.PROVENANCE_FILE
    provenance: Any = None
    with checks.reading(path, _RESTORE):
        provenance = read_json(path)
    if not isinstance(provenance, dict):
        checks.require(provenance is None, path, "is not a JSON object", _RESTORE)
        return None
    attempts = [p for p in (directory / files.ATTEMPTS_DIR).glob("*") if p.name.isdecimal()]
    if attempts:
        last = max(attempts, key=lambda p: int(p.name))
        for name in (files.PROVENANCE_FILE, files.DIFF_FILE):
            checks.require(
                _bytes(directory / name) == _bytes(last / name),
                directory / name,
                f"differs from {last.relative_to(directory) / name}, which was written with it",
                _RESTORE,
            )
    return provenance


def _check_code(checks: CheckList, directory: Path, provenance: Mapping[str, Any]) -> None:
    """Check the hash over the code, and the plugins that the run kept."""
    path = directory / files.PROVENANCE_FILE
    code = recorded_code(provenance)
    recorded = provenance.get("code") or {}
    if code is not None:
        checks.require(
            recorded.get("hash", code.digest) == code.digest,
            path,
            "the hash of its code differs from that of the files it lists",
            _RESTORE,
        )
    folder = directory / files.PLUGINS_DIR
    for entry in provenance.get("plugins") or []:
        name = str(entry.get("name", ""))
        module = Path(name).stem if name.endswith(".py") else name
        kept = folder / f"{Path(module).name}.py"
        found = hashlib.sha256(_bytes(kept)).hexdigest()
        checks.require(
            found == entry.get("sha256"),
            kept,
            "the copy of the plugin is missing, or its SHA-256 differs from the recorded one",
            "restore the copy; without it `lab reproduce` and `lab export` cannot use it",
        )
    for key, digest in (code.files if code is not None else {}).items():
        name = key.removeprefix(plugin_key(""))
        if name == key:
            continue
        kept = folder / Path(name).name
        checks.require(
            hash_of_source(kept.name, _bytes(kept)) == digest,
            kept,
            "the copy of a file that computed the run is missing, or was changed",
            "restore the copy; without it `lab reproduce` and `lab export` cannot use it",
        )


def _bytes(path: Path) -> bytes:
    """Return the contents of a file; empty if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_run_directory(directory: Path) -> bool:
    """Return whether a directory holds a run, intact or not."""
    names = (files.CONFIG_FILE, files.STATUS_FILE, files.RESULT_FILE)
    try:
        return any((directory / name).is_file() for name in names)
    except OSError:
        return False


def run_hash_of(directory: Path) -> str | None:
    """Return the identity of a run; None if its configuration cannot be read."""
    try:
        return identity(read_config(directory))
    except LabError:
        return None
