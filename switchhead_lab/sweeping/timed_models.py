"""The models of a sweep to time in turn (free of torch)."""

from pathlib import Path

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.plan import (
    Variant,
    candidate_variant,
    declared_variants,
    first_candidates,
)
from switchhead_lab.tracking.record import warn_of_damage
from switchhead_lab.tracking.sweep_dir import SweepDir


def models_to_time(sweep: Sweep, runs_dir: Path) -> list[Variant]:
    """Return the declared models, the first candidates, and the best of finished searches.

    No model appears twice; the baseline is first. Warns of a damaged sweep record.

    Args:
        sweep: The sweep.
        runs_dir: Folder of all runs.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    found = {v.title: v for v in (*declared_variants(sweep), *first_candidates(sweep))}
    for variant in _recorded_best(sweep, runs_dir):
        found.setdefault(variant.title, variant)
    return list(found.values())


def _recorded_best(sweep: Sweep, runs_dir: Path) -> list[Variant]:
    try:
        record = SweepDir.of(runs_dir, sweep).read_known()
    except RecordError as error:
        warn_of_damage(error)
        return []
    studies = {study.name: study for study in sweep.studies}
    found = [
        candidate_variant(sweep, studies[member.model], member.point)
        for member in (record.members if record is not None else ())
        if member.role == "best" and member.model in studies
    ]
    return [variant for variant in found if isinstance(variant, Variant)]
