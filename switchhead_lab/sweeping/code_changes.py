"""Earlier runs of a sweep whose code has changed: settled before anything trains."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import CodeChangedError, ConfigError, RecordError
from switchhead_lab.sweeping.plan import Variant, config_of
from switchhead_lab.sweeping.starts import Starts
from switchhead_lab.sweeping.study_name import study_name
from switchhead_lab.tracking.record import RunRecord, find_by_config, find_directory, read_run
from switchhead_lab.tracking.sweep_record import StudyRecord, SweepRecord
from switchhead_lab.training.change_policy import ALL, CHANGED, ChangePolicy, code_change, retrain


def require_known_models(sweep: Sweep, policy: ChangePolicy) -> None:
    """Raise ConfigError if a policy retrains a model that the sweep does not have."""
    known = [CHANGED, ALL, *sweep.entries]
    for name in policy.retrain:
        if name not in known:
            raise ConfigError(
                f"--retrain {name}: no model of sweep {sweep.name}{near_miss(name, known)}; use "
                f"{CHANGED}, {ALL}, or one of {', '.join(sweep.entries)}"
            )


def settle_changes(
    record: SweepRecord,
    variants: Sequence[Variant],
    starts: Starts,
    runs_dir: Path,
    policy: ChangePolicy,
) -> SweepRecord:
    """Set aside the runs to retrain, and return the record without them.

    A study with such a run starts over: its trials would mix values from different code.

    Args:
        record: The sweep's record under its current declaration.
        variants: Its baseline and declared models, matched.
        starts: The checkpoints that its runs start from.
        runs_dir: Folder of all runs.
        policy: Which runs to retrain, and which to reuse.

    Raises:
        CodeChangedError: If the code of a run has changed and the policy does not say what to do;
            nothing is moved.
        RunBusyError: If another process is training a run to be set aside.
    """
    rejected: dict[str, list[str]] = defaultdict(list)
    retrained: list[tuple[str, RunRecord]] = []
    for model, run in _earlier_runs(record, variants, starts, runs_dir):
        change = code_change(run)
        if policy.retrains(model, change):
            retrained.append((model, run))
        elif change and not policy.reuses and _counts(run, record):
            rejected[model].append(change)
    if rejected:
        raise _error(record.sweep, rejected)
    for _, run in retrained:
        retrain(run)
    return _without(record, {model for model, _ in retrained}, {run.name for _, run in retrained})


def _earlier_runs(
    record: SweepRecord, variants: Sequence[Variant], starts: Starts, runs_dir: Path
) -> Iterator[tuple[str, RunRecord]]:
    """Yield the sweep's runs that were started before, each once, with their models' names."""
    sweep, seen = record.sweep, set()
    tuned = {study.name for study in sweep.tuning}
    for variant in variants:
        for seed in variant.seeds if variant.name not in tuned else ():
            try:
                start = starts.find(variant.name, seed, record.members)
            except RecordError:  # its source is trained first, and then its identity is known
                continue
            path = find_by_config(runs_dir, config_of(sweep, variant, seed, start))
            if path is not None:
                seen.add(path)
                yield from _readable(variant.name, path)
    for member in record.members:
        path = find_directory(runs_dir, member.run_hash)
        if path is not None and path not in seen:
            seen.add(path)
            yield from _readable(member.model, path)


def _readable(model: str, path: Path) -> Iterator[tuple[str, RunRecord]]:
    """Yield a run with its model's name; a damaged one fails on its turn and stops no other."""
    with contextlib.suppress(RecordError):
        yield model, read_run(path)


def _counts(run: RunRecord, record: SweepRecord) -> bool:
    """Return whether a run's figures are used: it has a result, or its study has a trial of it."""
    is_candidate = any(m.role == "candidate" and m.run_name == run.name for m in record.members)
    return run.result is not None or (is_candidate and run.status.state in ("pruned", "failed"))


def _error(sweep: Sweep, rejected: dict[str, list[str]]) -> CodeChangedError:
    number = sum(map(len, rejected.values()))
    lines = [
        f"  {model}: {len(changes)} run{'s' if len(changes) > 1 else ''}: "
        f"{'; '.join(dict.fromkeys(changes))}"
        for model, changes in rejected.items()
    ]
    runs = "1 earlier run" if number == 1 else f"{number} earlier runs"
    return CodeChangedError(
        f"sweep {sweep.name}: the code of {runs} has changed:\n{chr(10).join(lines)}\n"
        f"Retrain with --retrain {CHANGED} (or --retrain MODEL; earlier runs are kept), or keep "
        "the results with --reuse; reports will mention it."
    )


def _without(record: SweepRecord, models: set[str], run_names: set[str]) -> SweepRecord:
    """Return a record without runs that were set aside, and with their studies started over."""
    sweep, studies = record.sweep, dict(record.studies)
    for study in sweep.all_studies:
        if study.name in models:
            generation = studies[study.name].generation + 1
            studies[study.name] = StudyRecord(
                storage_name=study_name(sweep, study, generation),
                generation=generation,
                n_feasible=studies[study.name].n_feasible,
            )
    members = [
        member
        for member in record.members
        if member.run_name not in run_names
        and not (member.model in models and member.model in studies)
    ]
    return record.model_copy(update={"members": members, "studies": studies})
