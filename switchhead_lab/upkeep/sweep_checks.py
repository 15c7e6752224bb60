"""Checks of a sweep's record: its id, and that its members are the run directories."""

from pathlib import Path

from switchhead_lab.config.identity import identity
from switchhead_lab.errors import LabError
from switchhead_lab.reporting.commands import how_to
from switchhead_lab.tracking.liveness import observed_state
from switchhead_lab.tracking.record import read_config, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord, sweep_id
from switchhead_lab.upkeep.check_list import CheckList

_RESTORE = "restore it from a copy, or run the sweep again: finished runs are reused"
# States whose runs have a directory.
_WITH_DIRECTORY = ("finished", "pruned")


def check_sweep(directory: Path, sweeps_dir: Path | None) -> CheckList:
    """Check the record of a sweep against its directory's name and the run directories."""
    checks, sweep = CheckList(directory.name), SweepDir(directory)
    record: SweepRecord | None = None
    with checks.reading(sweep.record_path, _RESTORE):
        record = sweep.read()
    if record is None:
        return checks
    expected = sweep_id(record.sweep)
    checks.require(
        expected == directory.name,
        sweep.record_path,
        f"the id of the sweep that it declares is {expected}",
        "undo the change of the record or of the directory's name",
    )
    stale = [m for m in record.members if not _check_member(checks, sweep, record, m, sweeps_dir)]
    if stale and sweep.workers.alive():
        checks.unchecked.append(f"states of {directory.name}: the sweep is being run")
        stale = []
    again = how_to(record.sweep, sweeps_dir, "brings it up to date")
    for member in stale:
        fault = f"{member.run_name} is {member.state} in the record, but not in its directory"
        checks.require(False, sweep.record_path, fault, again)
    return checks


def _check_member(
    checks: CheckList,
    sweep: SweepDir,
    record: SweepRecord,
    member: SweepMember,
    sweeps_dir: Path | None,
) -> bool:
    """Check that the directory of a member is its own; return whether their states agree."""
    directory = sweep.run_dir(member)
    if not directory.is_dir():
        checks.require(
            member.state not in _WITH_DIRECTORY,
            directory,
            f"is missing, but {sweep.record_path.name} has it as {member.state}",
            f"restore the directory; {how_to(record.sweep, sweeps_dir, 'trains it again')}",
        )
        return True
    try:
        run_hash = identity(read_config(directory))
    except LabError:  # checked with the run
        return True
    checks.require(
        run_hash == member.run_hash,
        directory,
        f"has the identity {run_hash[:8]}, but {sweep.record_path.name} records "
        f"{member.run_hash[:8]}",
        "undo the change of the record or of config.toml",
    )
    try:
        return observed_state(read_run(directory)) == member.state
    except LabError:
        return True
