"""What has changed since a run: code, versions, device, threads, data and environment."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import switchhead_lab
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.code_identity import KEY, code_of
from switchhead_lab.tracking.drift import find_drift
from switchhead_lab.tracking.provenance import collect_provenance
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.training.compute_setup import prepare_setup

# Variables that say where a process runs, not what it computes.
_PLACES = ("LAB_HOME", "SLURM_JOB_ID")


@dataclass(frozen=True)
class Conditions:
    """The conditions of a run, compared with the present ones.

    Attributes:
        recorded_commit: Commit of the run's code, with "+" if it had uncommitted changes; "none"
            without a repository.
        commit: The present commit.
        changes: What can change results and has changed, one line each.
        notes: What else is worth knowing, one line each.
    """

    recorded_commit: str
    commit: str
    changes: list[str]
    notes: list[str]


def compare_conditions(workspace: Workspace, run: RunRecord, notes: Sequence[str]) -> Conditions:
    """Compare the conditions of a run with those that it would have now.

    Args:
        workspace: Where it would be trained.
        run: The run.
        notes: What is known already.

    Raises:
        ConfigError: If the device does not support the configuration.
        DataError: If the data cannot be prepared.
    """
    before, training = run.provenance, run.config.training
    setup = prepare_setup(
        workspace.settings.device,
        training.precision,
        compiles_blocks=training.compile_blocks,
        captures_step=training.capture_step,
    )
    dataset = open_dataset(workspace.data_dir, run.config.data, progress=tell)
    collected = collect_provenance(
        Path(switchhead_lab.__file__).parents[1],
        data_manifest=dataset.describe(),
        device=setup.facts,
        command=sys.argv,
        addresses=workspace.addresses,
    )
    now = {**collected.values, KEY: code_of(run.config).as_data()}
    return Conditions(
        recorded_commit=_commit(before),
        commit=_commit(now),
        changes=[
            *find_drift(before, now),
            *_changed_data(before, now),
            *_changed_processor(before, now),
            *_changed_variables(before, now),
        ],
        notes=[*notes, *(f"the run was resumed after a change of {d}" for d in _drift_of(before))],
    )


def _commit(provenance: Mapping[str, Any]) -> str:
    git = provenance.get("git") or {}
    commit = str(git.get("commit") or "none")[:12]
    return f"{commit}+" if git.get("dirty") else commit


def _changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old = (before.get("data_manifest") or {}).get("digest")
    new = now["data_manifest"]["digest"]
    if old is not None and old != new:
        yield f"data: digest {str(old)[:12]} before, {new[:12]} now"


def _changed_processor(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = ((side.get("host") or {}).get("cpu") for side in (before, now))
    if old is not None and old != new:
        yield f"processor: {old} before, {new} now"


def _changed_variables(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = (side.get("environment") or {} for side in (before, now))
    for name in sorted({*old, *new} - {*_PLACES}):
        if old.get(name) != new.get(name):
            was, is_now = old.get(name, "not set"), new.get(name, "not set")
            yield f"environment: {name} {was} before, {is_now} now"


def _drift_of(provenance: Mapping[str, Any]) -> list[str]:
    return [str(line) for line in provenance.get("drift") or []]
