"""The conditions that all workers of a sweep share: code, versions, device, data, declaration."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import Dataset
from switchhead_lab.errors import DriftError
from switchhead_lab.sweeping.plan import Variant, config_of
from switchhead_lab.tracking.code_identity import KEY as CODE_KEY
from switchhead_lab.tracking.code_identity import code_of
from switchhead_lab.tracking.comparison import flatten
from switchhead_lab.tracking.drift import find_drift
from switchhead_lab.tracking.provenance import package_versions
from switchhead_lab.tracking.workers import WorkerState
from switchhead_lab.training.change_policy import ChangePolicy
from switchhead_lab.training.compute_setup import prepare_setup

_SWEEP, _DATA = "sweep", "data"
_MOST_SHOWN = 8
_MOST_CHARACTERS = 60


def conditions_of(
    workspace: Workspace, sweep: Sweep, variant: Variant, dataset: Dataset
) -> dict[str, Any]:
    """Return what the runs of a worker would depend on, as plain data.

    Args:
        workspace: Workspace with the device.
        sweep: The sweep as this worker declares it.
        variant: One of its models, whose code is compared.
        dataset: Its data.

    Raises:
        ConfigError: If the device does not support the sweep's training options.
    """
    training = sweep.training
    setup = prepare_setup(
        workspace.settings.device,
        training.precision,
        compiles_blocks=training.compile_blocks,
        captures_step=training.capture_step,
    )
    return {
        CODE_KEY: code_of(config_of(sweep, variant, variant.seeds[0])).as_data(),
        "versions": package_versions(),
        "device": setup.facts,
        # Hosts prepare equal data at different times.
        _DATA: {key: value for key, value in dataset.describe().items() if key != "created_at"},
        _SWEEP: sweep.model_dump(mode="json"),
    }


def require_same_conditions(
    sweep: Sweep,
    conditions: Mapping[str, Any],
    others: Sequence[WorkerState],
    policy: ChangePolicy,
) -> None:
    """Check that a worker would train under the conditions of those at work.

    Args:
        sweep: The sweep.
        conditions: What `conditions_of` returns.
        others: The live workers.
        policy: Whether differences are allowed.

    Raises:
        DriftError: If conditions differ and drift is not allowed; it lists the differences.
    """
    if policy.allows_drift:
        return
    for other in others:
        changes = list(_changes(other.record.facts, conditions))
        if changes:
            listed = changes[:_MOST_SHOWN]
            if len(changes) > _MOST_SHOWN:
                listed.append(f"and {len(changes) - _MOST_SHOWN} more")
            lines = "".join(f"\n  {change}" for change in listed)
            raise DriftError(
                f"sweep {sweep.name}: this worker differs from {other.record.worker_id}, which is "
                f"at work:{lines}\nMake them equal, wait until it has ended, or pass --allow-drift "
                "to train with both; reports will mention it."
            )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two workers, one line each."""
    yield from find_drift(before, now)
    for part, name in ((_DATA, "data"), (_SWEEP, "declaration")):
        # Through JSON, as the other worker's facts were.
        old = dict(flatten(before.get(part, {})))
        new = dict(flatten(json.loads(json.dumps(now[part]))))
        for field in {**old, **new}:
            if old.get(field) != new.get(field):
                there, here = _text(old.get(field)), _text(new.get(field))
                yield f"{name}: {field}: {there} there, {here} here"


def _text(value: object) -> str:
    return textwrap.shorten(str(value), _MOST_CHARACTERS, placeholder=" ...")
