"""The data that a run was trained on: the same contents, or an error."""

from typing import Any

from switchhead_lab.data.dataset import Dataset
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.record import RunRecord


def require_recorded_data(run: RunRecord, dataset: Dataset) -> None:
    """Refuse data whose contents are not those that a run was begun on.

    Raises:
        RecordError: If the digests differ.
    """
    known: dict[str, Any] = run.provenance.get("data_manifest") or {}
    if known.get("digest", dataset.digest) != dataset.digest:
        raise RecordError(
            f'{run.directory}: trained on other contents of corpus "{run.config.data.corpus}" '
            f"(digest {known['digest'][:12]}, now {dataset.digest[:12]}); remove the run or "
            "prepare the new text under another name"
        )
