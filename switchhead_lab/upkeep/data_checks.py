"""Checks of the data of runs: recorded manifests, and the prepared files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from switchhead_lab.config.data import DataConfig, TextData
from switchhead_lab.config.identity import hash_of
from switchhead_lab.data.dataset import Dataset
from switchhead_lab.data.example_store import ExampleManifest, ExampleStore, find_examples
from switchhead_lab.data.manifest import Manifest
from switchhead_lab.data.token_store import TokenStore, find_store
from switchhead_lab.errors import DataError, LabError
from switchhead_lab.upkeep.check_list import CheckList

_RESTORE = "restore it from a copy, or train the run again with --retrain"


class DataChecks:
    """Checks of data; files that several runs share are read once.

    Args:
        data_dir: The workspace's folder of prepared data; None to check recorded manifests only.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        # Dataset and fault by configuration.
        self._known: dict[str, tuple[Dataset | None, str]] = {}

    def check(
        self, checks: CheckList, path: Path, data: DataConfig, provenance: Mapping[str, Any]
    ) -> None:
        """Check the recorded manifest of a run's data, and the prepared files if they exist.

        Args:
            checks: Where to note the outcome.
            path: File of the provenance.
            data: Configuration of the data.
            provenance: The run's provenance.
        """
        recorded = provenance.get("data_manifest")
        if not isinstance(recorded, Mapping):
            checks.require(False, path, "has no data_manifest", _RESTORE)
            return
        fault = _fault_of_manifest(data, recorded)
        checks.require(not fault, path, fault, _RESTORE)
        if self._data_dir is None:
            return
        store, fault = self._prepared(data)
        if store is None and not fault:
            checks.unchecked.append(f'data of "{data.corpus}": not prepared in {self._data_dir}')
            return
        where = store.path if store is not None else self._data_dir / data.corpus
        remedy = "prepare the corpus again with `lab data prepare`"
        checks.require(not fault, where, fault, remedy)
        if store is not None:
            checks.require(
                store.digest == recorded.get("digest"),
                where,
                f"its digest is {store.digest[:12]}, but the run was trained on "
                f"{str(recorded.get('digest'))[:12]}",
                "prepare the text that the run was trained on",
            )

    def _prepared(self, data: DataConfig) -> tuple[Dataset | None, str]:
        """Return prepared data and what is wrong with them; nothing is prepared."""
        key = hash_of(data.model_dump(mode="json"))
        if key not in self._known:
            assert self._data_dir is not None, "callers check"
            self._known[key] = _open(self._data_dir, data)
        return self._known[key]


def _open(data_dir: Path, data: DataConfig) -> tuple[Dataset | None, str]:
    store: Dataset | None = None
    try:
        if isinstance(data, TextData):
            store = find_store(data_dir, data)
        else:
            store = find_examples(data_dir, data)
    except DataError:  # unknown here, as for an imported run
        return None, ""
    try:
        if store is not None:
            store.verify()
    except LabError as error:
        return store, str(error).removeprefix(f"{store.path if store else ''}: ")
    return store, ""


def _fault_of_manifest(data: DataConfig, recorded: Mapping[str, Any]) -> str:
    """Return why the manifest in a provenance is not that of a run's data; empty if it is."""
    values = {key: value for key, value in recorded.items() if key != "digest"}
    store: Dataset
    try:
        if isinstance(data, TextData):
            store = TokenStore(Path(), Manifest.model_validate(values))
        else:
            store = ExampleStore(Path(), ExampleManifest.model_validate(values))
        digest = store.digest
    except (ValidationError, KeyError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no {error}"
        return f"data_manifest is damaged: {reason}"
    if recorded.get("digest") != digest:
        return "the digest of data_manifest differs from that of the hashes it lists"
    if recorded.get("corpus") != data.corpus:
        return f'data_manifest is of corpus "{recorded.get("corpus")}", not "{data.corpus}"'
    return ""
