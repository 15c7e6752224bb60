"""What happens to earlier runs whose code has changed: reject, reuse or retrain them."""

from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.dataset import Dataset, require_recorded_data
from switchhead_lab.errors import CodeChangedError
from switchhead_lab.terminal import tell
from switchhead_lab.tracking.code_identity import code_of, describe_change, recorded_code
from switchhead_lab.tracking.liveness import hold_run
from switchhead_lab.tracking.record import RunLabels, RunRecord, find_by_config, read_run
from switchhead_lab.tracking.superseded import set_aside

ALL, CHANGED = "all", "changed"


@dataclass(frozen=True)
class ChangePolicy:
    """What to do with earlier runs whose code or conditions differ from the present ones.

    Attributes:
        allows_drift: Resume interrupted runs under different code, versions, threads or kernels.
        reuses: Reuse finished runs whose code has changed.
        retrain: Runs to retrain: "changed" for those whose code has changed, "all", or model names.
    """

    allows_drift: bool = False
    reuses: bool = False
    retrain: tuple[str, ...] = ()

    def retrains(self, model: str, change: str) -> bool:
        """Return whether to retrain a run.

        Args:
            model: Name of its model.
            change: What changed in its code; empty if nothing.
        """
        return ALL in self.retrain or model in self.retrain or self.retrains_changed(change)

    def retrains_changed(self, change: str) -> bool:
        """Return whether to retrain a run because its code has changed."""
        return bool(change) and CHANGED in self.retrain


STRICT = ChangePolicy()
"""Neither resume nor reuse a run whose code has changed."""


def code_change(run: RunRecord) -> str:
    """Return which code of a run has changed since; empty if it would run unchanged."""
    return describe_change(recorded_code(run.provenance), code_of(run.config))


def usable_run(
    runs_dir: Path, config: RunConfig, dataset: Dataset, policy: ChangePolicy
) -> RunRecord | None:
    """Return the finished run of a configuration if its result is still valid.

    Args:
        runs_dir: Folder of all runs.
        config: Resolved configuration.
        dataset: Its data.
        policy: What to do if its code has changed.

    Returns:
        The run; None if it has to be trained.

    Raises:
        CodeChangedError: If its code has changed and the policy does not say what to do.
        RecordError: If it was trained on other data.
    """
    path = find_by_config(runs_dir, config)
    if path is None:
        return None
    run = read_run(path)
    require_recorded_data(run, dataset)
    if run.result is None:
        return None
    change = code_change(run)
    if not change or (policy.reuses and not policy.retrains_changed(change)):
        return run
    if policy.retrains_changed(change):
        return None
    raise CodeChangedError(
        f"{path}: finished, but its code has changed since ({change}). Retrain it with --retrain, "
        "or keep its result with --reuse; reports will mention it"
    )


def retrain(run: RunRecord) -> None:
    """Set a run aside, so that it is retrained.

    Raises:
        RunBusyError: If another process is training it.
    """
    with hold_run(run.directory.parent, run.run_hash):
        _set_aside(run)


def retrain_config(runs_dir: Path, config: RunConfig) -> RunLabels | None:
    """Set aside the run of a configuration, if there is one, so that it is retrained.

    Returns:
        Its labels, so that sweeps find the retrained run under its name; None without a run.

    Raises:
        RunBusyError: If another process is training it.
    """
    path = find_by_config(runs_dir, config)
    if path is None:
        return None
    run = read_run(path)
    retrain(run)
    return run.labels


def make_room(runs_dir: Path, config: RunConfig, policy: ChangePolicy) -> None:
    """Set aside the run of a configuration if it is retrained; the caller holds its lock."""
    path = find_by_config(runs_dir, config)
    if path is None:
        return
    run = read_run(path)
    if policy.retrains_changed(code_change(run)):
        _set_aside(run)


def _set_aside(run: RunRecord) -> None:
    tell(f"{run.name}: retraining; the earlier run is kept as {set_aside(run.directory)}")
