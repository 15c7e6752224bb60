"""Execute a sweep: declared models first, then the search, then its best candidate with all seeds.

Everything done is on disk before the next begins, so the same call continues an interrupted sweep.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from filelock import FileLock, Timeout

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.search import (
    Point,
    PointKey,
    Study,
    describe_point,
    grid_of,
    key_of,
    objectives_of,
)
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.errors import (
    DriftError,
    FailureCause,
    LabError,
    RecordError,
    RunBusyError,
    TrainingError,
)
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    candidate_variant,
    candidate_variants,
    config_of,
    declared_variants,
    resolved_model,
)
from switchhead_lab.sweeping.study import Proposal, SearchStudy, open_study, study_name
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.liveness import is_owned, observed_state
from switchhead_lab.tracking.mlflow_index import Index
from switchhead_lab.tracking.record import RESULT_FILE, RunLabels, RunRecord, RunState, run_name
from switchhead_lab.tracking.study_objectives import read_objective
from switchhead_lab.tracking.sweep_record import (
    InfeasibleCandidate,
    Role,
    StudyRecord,
    SweepMember,
    SweepRecord,
    read_sweep_record,
    sweep_id,
    sweep_record_path,
    write_sweep_record,
)
from switchhead_lab.training.hooks import Hook
from switchhead_lab.training.run import execute_run

Say = Callable[[str], None]

# A run that failed for these causes is tried again from its checkpoint, twice.
_RETRIED: tuple[FailureCause, ...] = ("out of memory",)
_N_ATTEMPTS = 3
_BUSY_POLL_SECONDS = 2.0
# Combinations without a model in a row after which a search gives up.
_MOST_LOOKED_AT = 1000


def run_sweep(
    workspace: Workspace,
    sweep: Sweep,
    index: Index,
    say: Say,
    *,
    allows_drift: bool = False,
) -> SweepRecord:
    """Run what is left of a sweep and return its record.

    A run that fails is recorded and the sweep goes on; failed declared models are tried again by
    the next call. A run that another process is training is waited for.

    Args:
        workspace: Where data, runs and studies live.
        sweep: Resolved declaration.
        index: Index that mirrors the runs under one parent.
        say: Takes one line for each thing done.
        allows_drift: Continue runs under other code, versions, threads or kernels.

    Raises:
        StorageError: If a disk or database refuses; the same call continues.
        RecordError: If another process is running this sweep.
        DataError: If the corpus cannot be prepared or does not fill one batch.
        MatchError: If a declared model cannot be matched.
    """
    variants = declared_variants(sweep)
    dataset = open_dataset(workspace.data_dir, sweep.data, progress=say)
    # All models have the same batches: one that is not filled would fail each of them in turn.
    dataset.training_batches(sweep.training.batch_size, sweep.model.seq_len, seed=0)
    folder = make_directory(sweep_record_path(workspace.runs_dir, sweep).parent)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            return _SweepRun(workspace, sweep, index, say, allows_drift).run(variants)
    except Timeout:
        raise RecordError(
            f"sweep {sweep_id(sweep)} is being run by another process (lock {lock.lock_file})"
        ) from None


class _SweepRun:
    """One pass over a sweep; the record on disk follows every step."""

    def __init__(
        self, workspace: Workspace, sweep: Sweep, index: Index, say: Say, allows_drift: bool
    ) -> None:
        self._workspace, self._sweep, self._index, self._say = workspace, sweep, index, say
        self._allows_drift = allows_drift
        self._record = _continued_record(workspace, sweep)
        self._parent_id: str | None = None

    def run(self, variants: Sequence[Variant]) -> SweepRecord:
        """Run everything that has no result yet; however that ends, record and index say so."""
        with interruption.deferred():
            # On disk before it is in MLflow, where a sweep without a record would stay for ever.
            directory = write_sweep_record(self._workspace.runs_dir, self._record).parent
            self._parent_id = self._index.start_sweep(self._record, directory)
            state: RunState = "interrupted"
            try:
                with interruption.allowed():
                    self._run_all(variants)
                    state = "finished"
            finally:
                self._index.finish_sweep(directory, state)
        return self._record

    def _run_all(self, variants: Sequence[Variant]) -> None:
        for variant in variants:
            self._note_model(variant)
        # Storages that cannot be opened are better known before hours of training than after.
        tuning = {config.name: (config, self._open(config)) for config in self._sweep.tuning}
        searches = [(config, self._open(config)) for config in self._sweep.studies]
        asked = [(v, seed) for v in variants for seed in v.seeds if v.name not in tuning]
        # Runs that another process is training come last: they may be finished by then.
        for variant, seed in sorted(asked, key=lambda one: self._is_busy(*one)):
            self._train(variant, seed)
        for variant in variants:
            if variant.name in tuning:
                self._search(*tuning[variant.name], role=variant.role)
        for config, study in searches:
            self._search(config, study, role="best")

    def _open(self, config: Study) -> SearchStudy:
        storage = self._workspace.study_storage
        return open_study(storage, self._sweep, config, self._workspace.runs_dir)

    def _search(self, config: Study, study: SearchStudy, role: Role) -> None:
        """Train the candidates of a study, then the best of them with every seed."""

        def untried(tried: set[PointKey]) -> Point | None:
            candidates = itertools.islice(
                candidate_variants(self._sweep, config), len(tried) + _MOST_LOOKED_AT
            )
            feasible = (v.point for v in candidates if isinstance(v, Variant))
            return next((point for point in feasible if key_of(point) not in tried), None)

        while (proposal := study.propose(untried)) is not None:
            self._try_candidate(study, config, proposal)
        point = study.best_point()
        if point is None:
            self._say(f"no candidate of {config.name} finished; see `lab runs list`")
            return
        self._train_best(config, point, role)

    def _try_candidate(self, study: SearchStudy, config: Study, proposal: Proposal) -> None:
        variant = candidate_variant(self._sweep, config, proposal.point)
        if isinstance(variant, Infeasible):
            self._note_infeasible(proposal, variant)
            study.reject_infeasible(proposal, variant.reason)
            return
        known = study.known_result(proposal)
        if known is not None:
            study.repeat(proposal, known)
            return
        seed = config.seeds[0]
        name = run_name(config_of(self._sweep, variant, seed), self._labels(variant))
        self._say(
            f"candidate {study.n_tried + 1}/{config.n_trials} of {config.name}: "
            f"{describe_point(proposal.point)}"
        )
        hook = study.begin(proposal, name)
        member, run = self._train(variant, seed, trial_number=proposal.number, hooks=[hook])
        if run is None:
            study.fail(proposal, member.reason)
        elif run.result is None:
            study.prune(proposal)
        else:
            costs = self._record.costs_of(variant.model)
            assert costs is not None, "noted before it was trained"
            objectives = objectives_of(config, self._sweep.objective)
            values = [read_objective(one, run.result, costs) for one in objectives]
            study.finish(proposal, values)

    def _train_best(self, config: Study, point: Point, role: Role) -> None:
        """Train the best candidate with every seed, so that it is compared like the others."""
        best = candidate_variant(self._sweep, config, point)
        assert isinstance(best, Variant), "a trained candidate has a model"
        best = replace(best, role=role, seeds=tuple(config.seeds))
        seeds = ", ".join(map(str, config.seeds))
        self._say(f"best candidate of {config.name}: {describe_point(point)}; seeds {seeds}")
        hashes = {identity(config_of(self._sweep, best, seed)) for seed in best.seeds}

        def is_kept(member: SweepMember) -> bool:
            is_of_this = (member.role, member.model) == (role, config.name)
            return not is_of_this or member.run_hash in hashes

        self._write_members([member for member in self._record.members if is_kept(member)])
        for seed in best.seeds:
            self._train(best, seed)

    def _train(
        self,
        variant: Variant,
        seed: int,
        *,
        trial_number: int | None = None,
        hooks: Sequence[Hook] = (),
    ) -> tuple[SweepMember, RunRecord | None]:
        """Train one run and note what became of it; None for a run that failed."""
        config = config_of(self._sweep, variant, seed)
        self._note_model(variant)
        member = SweepMember(
            model=variant.name,
            role=variant.role,
            seed=seed,
            run_name=run_name(config, self._labels(variant)),
            run_hash=identity(config),
            state="running",
            trial_number=trial_number,
            point=variant.point,
        )
        with interruption.deferred():
            self._note(member)
            for _ in range(_N_ATTEMPTS):
                ended, run = self._attempt(member, config, self._labels(variant), hooks)
                if run is not None or ended.cause not in _RETRIED:
                    break
                self._say(f"{member.run_name}: trying again after {ended.cause}")
            return self._note(ended), run

    def _attempt(
        self, member: SweepMember, config: RunConfig, labels: RunLabels, hooks: Sequence[Hook]
    ) -> tuple[SweepMember, RunRecord | None]:
        """Train one run once; wait first if another process is training it.

        Errors that concern this run alone make it a failed member; all others stop the sweep. Call
        it with signals deferred: they are allowed only where they end the attempt.
        """
        try:
            with interruption.allowed():
                run = self._execute_when_free(member, config, labels, hooks)
        except (TrainingError, RecordError) as error:
            if isinstance(error, DriftError):
                self._note_end(member, "interrupted", str(error))
                raise
            cause = error.cause if isinstance(error, TrainingError) else "other"
            self._say(f"{member.run_name}: failed: {error}")
            update = {"state": "failed", "reason": str(error), "cause": cause}
            return member.model_copy(update=update), None
        except (KeyboardInterrupt, LabError) as error:
            # Storage, data, device or workspace: every other run would fail the same way.
            self._note_end(member, "interrupted", str(error))
            raise
        except Exception as error:
            self._note_end(member, "failed", f"{type(error).__name__}: {error}")
            raise
        # An equal configuration may have been trained under another name; that run is the member.
        update = {"run_name": run.name, "state": observed_state(run), "reason": run.status.reason}
        return member.model_copy(update=update), run

    def _execute_when_free(
        self, member: SweepMember, config: RunConfig, labels: RunLabels, hooks: Sequence[Hook]
    ) -> RunRecord:
        while True:
            try:
                return execute_run(
                    self._workspace,
                    config,
                    labels,
                    index=self._index,
                    parent_id=self._parent_id,
                    hooks=hooks,
                    allows_drift=self._allows_drift,
                )
            except RunBusyError as error:
                self._say(f"{member.run_name}: waiting: {error}")
                while is_owned(self._workspace.runs_dir, member.run_hash):
                    time.sleep(_BUSY_POLL_SECONDS)

    def _is_busy(self, variant: Variant, seed: int) -> bool:
        run_hash = identity(config_of(self._sweep, variant, seed))
        return is_owned(self._workspace.runs_dir, run_hash)

    def _note_end(self, member: SweepMember, state: RunState, reason: str) -> None:
        """Record how a run ended; one that left a result is finished."""
        directory = self._workspace.runs_dir / member.run_name
        if (directory / RESULT_FILE).is_file():
            state, reason = "finished", ""
        self._note(member.model_copy(update={"state": state, "reason": reason}))

    def _labels(self, variant: Variant) -> RunLabels:
        return RunLabels(size=self._sweep.size, variant=variant.name, sweep=sweep_id(self._sweep))

    def _note(self, member: SweepMember) -> SweepMember:
        """Put a member into the record on disk, replacing what was known of it."""

        def is_same(other: SweepMember) -> bool:
            return (other.role, other.run_hash) == (member.role, member.run_hash)

        members = list(self._record.members)
        place = next((i for i, other in enumerate(members) if is_same(other)), len(members))
        members[place : place + 1] = [member]
        self._write_members(members)
        return member

    def _note_infeasible(self, proposal: Proposal, infeasible: Infeasible) -> None:
        study = self._record.studies[infeasible.name]
        entry = InfeasibleCandidate(
            trial_number=proposal.number, point=infeasible.point, reason=infeasible.reason
        )
        others = [known for known in study.infeasible if known.point != infeasible.point]
        updated = study.model_copy(update={"infeasible": [*others, entry]})
        self._write({"studies": {**self._record.studies, infeasible.name: updated}})

    def _note_model(self, variant: Variant) -> None:
        """Record an architecture with its costs, so that reports need not match it again."""
        if self._record.costs_of(variant.model) is None:
            models = [*self._record.models, resolved_model(self._sweep, variant)]
            self._write({"models": models})

    def _write_members(self, members: Sequence[SweepMember]) -> None:
        self._write({"members": list(members)})

    def _write(self, update: dict[str, object]) -> None:
        self._record = self._record.model_copy(update={**update, "updated_at": time.time()})
        write_sweep_record(self._workspace.runs_dir, self._record)


def _continued_record(workspace: Workspace, sweep: Sweep) -> SweepRecord:
    """Return the sweep's record under its present declaration.

    Members are carried over where that still asks for them: declared models by name, candidates
    while their study is the same.
    """
    now = time.time()
    path = sweep_record_path(workspace.runs_dir, sweep)
    if path.is_file():
        known = read_sweep_record(path)
    else:
        known = SweepRecord(sweep=sweep, started_at=now, updated_at=now)
    studies = {study.name: _study_record(sweep, study, known) for study in sweep.all_studies}
    same = {name for name, study in studies.items() if study == known.studies.get(name)}
    wanted = {
        identity(config_of(sweep, variant, seed))
        for variant in declared_variants(sweep)
        for seed in variant.seeds
    }

    def belongs(member: SweepMember) -> bool:
        return member.model in same if member.model in studies else member.run_hash in wanted

    members = [
        member
        for member in known.members
        if belongs(member) and (member.model in studies or member.role in ("baseline", "declared"))
    ]
    return known.model_copy(update={"sweep": sweep, "studies": studies, "members": members})


def _study_record(sweep: Sweep, study: Study, known: SweepRecord) -> StudyRecord:
    """Return the record of a study, as known while it is the same."""
    name, before = study_name(sweep, study), known.studies.get(study.name)
    if before is not None and before.storage_name == name:
        return before
    n_feasible = None
    if grid_of(study) is not None:
        candidates = candidate_variants(sweep, study)
        n_feasible = sum(isinstance(candidate, Variant) for candidate in candidates)
    return StudyRecord(storage_name=name, n_feasible=n_feasible)
