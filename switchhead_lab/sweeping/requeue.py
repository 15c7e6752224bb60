"""Which recorded runs of a sweep are to be trained again."""

from switchhead_lab.data.dataset import Dataset
from switchhead_lab.errors import LabError
from switchhead_lab.tracking.record import find_directory, read_run
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord
from switchhead_lab.training.change_policy import ChangePolicy, usable_run

_OPEN = {"state": "interrupted", "worker": "", "n_vanished": 0}


def requeued(
    record: SweepRecord, directory: SweepDir, dataset: Dataset, policy: ChangePolicy
) -> SweepRecord:
    """Return a sweep's record as its first worker takes it up: what is not done can be trained.

    Failed runs are tried again, except candidates, whose failure is a result of the search. So are
    finished ones whose result is no longer there or valid, and runs whose worker was killed.

    Args:
        record: The record.
        directory: The sweep's directory.
        dataset: The sweep's data.
        policy: What to do with runs whose code has changed.
    """

    def is_open(member: SweepMember) -> bool:
        if member.state == "running":
            return True
        if member.role == "candidate":
            return False
        return member.state == "failed" or (
            member.state == "finished" and not _is_usable(member, directory, dataset, policy)
        )

    members = [
        member.model_copy(update=_OPEN) if is_open(member) else member for member in record.members
    ]
    return record.model_copy(update={"members": members})


def requeue_failed(directory: SweepDir, cause: str = "") -> int:
    """Make failed runs of a sweep available to its workers again; return how many.

    Failed candidates stay: their failure is a result of the search.

    Args:
        directory: The sweep's directory.
        cause: Only runs that failed for this cause; all if empty.
    """
    with directory.locked():
        record = directory.read_known()
        if record is None:
            return 0
        chosen = {
            member.key
            for member in record.members
            if member.state == "failed"
            and member.role != "candidate"
            and cause in ("", member.cause)
        }
        members = [
            member.model_copy(update=_OPEN) if member.key in chosen else member
            for member in record.members
        ]
        directory.write(record.model_copy(update={"members": members}))
        return len(chosen)


def _is_usable(
    member: SweepMember, directory: SweepDir, dataset: Dataset, policy: ChangePolicy
) -> bool:
    runs_dir = directory.path.parents[1]
    try:
        path = find_directory(runs_dir, member.run_hash)
        if path is None:
            return False
        return usable_run(runs_dir, read_run(path).config, dataset, policy) is not None
    except LabError:  # its next attempt reports it
        return False
