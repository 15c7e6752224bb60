"""The models of a sweep to time in turn (free of torch)."""

from collections.abc import Mapping
from pathlib import Path

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError
from switchhead_lab.sweeping.plan import (
    Variant,
    candidate_variant,
    config_of,
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


def configs_to_time(sweep: Sweep, runs_dir: Path) -> dict[str, RunConfig]:
    """Return the configuration of each model to time, with its first seed, by title.

    Args:
        sweep: The sweep.
        runs_dir: Folder of all runs.

    Raises:
        MatchError: If a declared model cannot be matched.
    """
    variants = models_to_time(sweep, runs_dir)
    return {variant.title: config_of(sweep, variant, variant.seeds[0]) for variant in variants}


def two_kinds(configs: Mapping[str, RunConfig]) -> dict[str, RunConfig]:
    """Return the first model, and the first with another kind of attention if there is one."""
    kinds: dict[str, str] = {}
    for name, config in configs.items():
        kinds.setdefault(config.model.attention.kind, name)
    return {name: configs[name] for name in list(kinds.values())[:2]}


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
