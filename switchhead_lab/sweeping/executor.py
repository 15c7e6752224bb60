"""Executes a sweep: declared models, then the search, then its best candidate with all seeds.

Any number of processes may execute the same sweep at the same time. Each step is on disk before the
next begins, so the same call continues an interrupted sweep.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.contract.counted_size import require_counted_size
from switchhead_lab.data.dataset import Dataset, open_dataset
from switchhead_lab.sweeping.code_changes import require_known_models, settle_changes
from switchhead_lab.sweeping.conditions import conditions_of, require_same_conditions
from switchhead_lab.sweeping.heartbeat import Heartbeat
from switchhead_lab.sweeping.jobs import Say
from switchhead_lab.sweeping.offers import Offers
from switchhead_lab.sweeping.other_hosts import Fetcher, NoFetcher
from switchhead_lab.sweeping.plan import Variant, declared_variants
from switchhead_lab.sweeping.record_keeper import RecordKeeper, joined_record
from switchhead_lab.sweeping.requeue import requeued
from switchhead_lab.sweeping.schedule import Schedule
from switchhead_lab.sweeping.starts import Starts
from switchhead_lab.sweeping.worker import ExecuteRun, SweepWorker
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.mlflow_index import Index
from switchhead_lab.tracking.record import RunState
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.sweep_store import open_sweep
from switchhead_lab.training.change_policy import STRICT, ChangePolicy

_NO_FETCHER = NoFetcher()


def run_sweep(
    workspace: Workspace,
    sweep: Sweep,
    index: Index,
    say: Say,
    *,
    policy: ChangePolicy = STRICT,
    beside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    fetcher: Fetcher = _NO_FETCHER,
) -> SweepRecord:
    """Run the remaining runs of a sweep, sharing them with other workers, and return its record.

    A failed run is recorded and the sweep continues. The first worker, which finds no other one
    alive, retries failed declared models. Returns when nothing is left and nobody is training.

    Args:
        workspace: Folders of data, runs and studies.
        sweep: Resolved declaration.
        index: Index that mirrors the runs under one parent.
        say: Called with one line per event.
        policy: What to do with earlier runs whose code or conditions have changed.
        beside: Runs further workers, from the moment in which they may join.
        fetcher: Fetches finished runs that other hosts have trained.

    Raises:
        StorageError: If a disk, database or object store fails; the same call continues.
        RecordError: If the sweep's record is damaged, or this worker was declared dead.
        DataError: If the corpus cannot be prepared or does not fill one batch.
        MatchError: If a declared model cannot be matched.
        ConfigError: If a model's source of weights is unknown or does not fit, or the policy
            retrains an unknown model.
        CodeChangedError: If the code of an earlier run has changed, which the policy leaves open.
        DriftError: If live workers of the sweep have other code, versions, devices, data or another
            declaration, and the policy does not allow it.
    """
    require_known_models(sweep, policy)
    variants = declared_variants(sweep)
    starts = Starts(sweep, variants, workspace.runs_dir, fetcher)
    dataset = _opened_dataset(workspace, sweep, say)
    starts.require_possible(variants, dataset.describe())
    with interruption.deferred():
        directory = open_sweep(workspace, sweep)
        with interruption.allowed():  # it measures the device
            conditions = conditions_of(workspace, sweep, variants[0], dataset)
            _bring_finished(directory, starts, fetcher)

        def begun(known: SweepRecord | None) -> SweepRecord:
            """Return the record to continue; the first worker settles what earlier ones left."""
            others = directory.workers.alive()
            require_same_conditions(sweep, conditions, others, policy)
            record = joined_record(sweep, known, others, variants, starts)
            if others:
                return record
            directory.workers.withdraw_stop()
            record = settle_changes(record, variants, starts, workspace.runs_dir, policy)
            return requeued(record, directory, dataset, policy)

        with joined(directory, begun, conditions, index) as part, beside():
            train_rest(workspace, part, variants, starts, fetcher, index, say, policy)
        return part.keeper.record


def _opened_dataset(workspace: Workspace, sweep: Sweep, say: Say) -> Dataset:
    """Return the sweep's data, which fill a batch.

    All models have the same batches, so an unfilled batch would fail each of them in turn.
    """
    dataset = open_dataset(workspace.data_dir, sweep.data, progress=say)
    dataset.training_batches(sweep.training.batch_size, sweep.model.seq_len, seed=0)
    return dataset


def _bring_finished(directory: SweepDir, starts: Starts, fetcher: Fetcher) -> None:
    """Fetch what this worker needs of finished runs, before it holds the sweep's lock.

    A sweep's first worker trains finished runs again whose results it cannot read.
    """
    known = directory.read_known()
    if known is None:
        return
    if not directory.workers.alive():
        fetcher.bring_members(known.members)
    fetcher.bring_members(starts.sources_among(known.members), weights=True)


@dataclass(frozen=True)
class Part:
    """This process's part in a sweep.

    Attributes:
        keeper: Keeps the sweep's record.
        heartbeat: Its heartbeats as a worker.
        parent_id: The sweep's run in the index.
    """

    keeper: RecordKeeper
    heartbeat: Heartbeat
    parent_id: str | None


@contextlib.contextmanager
def joined(
    directory: SweepDir,
    begun: Callable[[SweepRecord | None], SweepRecord],
    conditions: Mapping[str, Any],
    index: Index,
) -> Iterator[Part]:
    """Be one of a sweep's workers in the block, and note in the index how the sweep ended.

    Args:
        directory: The sweep's directory.
        begun: Returns the record to continue, from the known one, under the sweep's lock.
        conditions: What this worker's runs depend on.
        index: Index that mirrors the runs.
    """
    with contextlib.ExitStack() as stack:
        with directory.locked():
            with interruption.allowed():
                known = directory.read_known()
                record = begun(known)
            keeper = RecordKeeper(directory, record)
            if record is not known:
                # On disk before MLflow, where a sweep without a record would stay forever.
                keeper.replace(record)
            worker = stack.enter_context(directory.workers.joined(conditions))
            parent_id = index.start_sweep(record, directory.path)
        ended: RunState = "interrupted"
        heartbeat = Heartbeat(directory, worker.worker_id)
        try:
            with heartbeat.beating():
                yield Part(keeper, heartbeat, parent_id)
            ended = "finished"
        finally:
            with keeper.locked():
                directory.keep_copy(keeper.record)
                stack.close()
                is_last = not directory.workers.alive()
            index.finish_sweep(directory.path, ended if is_last else "running")


def train_rest(
    workspace: Workspace,
    part: Part,
    variants: Sequence[Variant],
    starts: Starts,
    fetcher: Fetcher,
    index: Index,
    say: Say,
    policy: ChangePolicy,
    trainer: ExecuteRun | None = None,
) -> None:
    """Train what is left of a sweep."""
    sweep = part.keeper.record.sweep
    offers = Offers(workspace, part.keeper, starts, say)
    with interruption.allowed():
        for variant in variants:
            require_counted_size(variant.model, sweep.vocab_size, sweep.n_outputs)
            part.keeper.note_model(variant)
        schedule = Schedule(workspace, sweep, variants, offers)
        offers.plan(variants)
    worker = SweepWorker(
        workspace,
        schedule,
        offers,
        part.heartbeat,
        index=index,
        parent_id=part.parent_id,
        say=say,
        policy=policy,
        fetcher=fetcher,
        trainer=trainer,
    )
    worker.run()
