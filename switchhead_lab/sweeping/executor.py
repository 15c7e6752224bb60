"""Executes a sweep: declared models, then the search, then its best candidate with all seeds.

Each step is on disk before the next begins, so the same call continues an interrupted sweep.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import InitialWeights, RunConfig
from switchhead_lab.config.search import (
    Point,
    PointKey,
    Study,
    describe_point,
    grid_of,
    key_of,
    objectives_of,
)
from switchhead_lab.config.sources import depths_of
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.contract.counted_size import require_counted_size
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.errors import (
    CodeChangedError,
    DriftError,
    FailureCause,
    LabError,
    RecordError,
    RunBusyError,
    TrainingError,
)
from switchhead_lab.sweeping.code_changes import require_known_models, settle_changes
from switchhead_lab.sweeping.plan import (
    Infeasible,
    Variant,
    candidate_variant,
    candidate_variants,
    config_of,
    declared_variants,
)
from switchhead_lab.sweeping.record_keeper import RecordKeeper, continued_record
from switchhead_lab.sweeping.starts import SourceNotTrainedError, Starts
from switchhead_lab.sweeping.study import Proposal, SearchStudy, open_study
from switchhead_lab.tracking.file_names import RESULT_FILE
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.liveness import is_owned, observed_state
from switchhead_lab.tracking.mlflow_index import Index
from switchhead_lab.tracking.record import RunLabels, RunRecord, RunState, run_name
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import (
    Role,
    SweepMember,
    SweepRecord,
    read_objective,
    sweep_id,
)
from switchhead_lab.training.change_policy import STRICT, ChangePolicy
from switchhead_lab.training.hooks import Hook
from switchhead_lab.training.run import execute_run

Say = Callable[[str], None]

# Runs that failed for these causes are retried twice from their checkpoint.
_RETRIED: tuple[FailureCause, ...] = ("out of memory",)
_N_ATTEMPTS = 3
_BUSY_POLL_SECONDS = 2.0
# A search gives up after this many infeasible combinations in a row.
_MOST_EXAMINED = 1000


def run_sweep(
    workspace: Workspace,
    sweep: Sweep,
    index: Index,
    say: Say,
    *,
    policy: ChangePolicy = STRICT,
) -> SweepRecord:
    """Run the remaining runs of a sweep and return its record.

    A failed run is recorded and the sweep continues; the next call retries failed declared models.
    If another process is training a run, the sweep waits for it.

    Args:
        workspace: Folders of data, runs and studies.
        sweep: Resolved declaration.
        index: Index that mirrors the runs under one parent.
        say: Called with one line per event.
        policy: What to do with earlier runs whose code or conditions have changed.

    Raises:
        StorageError: If a disk or database fails; the same call continues.
        RecordError: If another process is running this sweep.
        DataError: If the corpus cannot be prepared or does not fill one batch.
        MatchError: If a declared model cannot be matched.
        ConfigError: If a model's source of weights is unknown or does not fit, or the policy
            retrains an unknown model.
        CodeChangedError: If the code of an earlier run has changed and the policy does not say what
            to do.
    """
    require_known_models(sweep, policy)
    variants = declared_variants(sweep)
    starts = Starts(sweep, variants, workspace.runs_dir)
    dataset = open_dataset(workspace.data_dir, sweep.data, progress=say)
    # All models have the same batches, so an unfilled batch would fail each of them in turn.
    dataset.training_batches(sweep.training.batch_size, sweep.model.seq_len, seed=0)
    starts.require_possible(variants, dataset.describe())
    directory = SweepDir.of(workspace.runs_dir, sweep)
    with directory.locked():
        record = continued_record(sweep, directory.read_known(), variants, starts)
        record = settle_changes(record, variants, starts, workspace.runs_dir, policy)
        keeper = RecordKeeper(directory, record)
        return _SweepRun(workspace, keeper, starts, index, say, policy).run(variants)


class _SweepRun:
    """One pass over a sweep; every step updates the record on disk."""

    def __init__(
        self,
        workspace: Workspace,
        keeper: RecordKeeper,
        starts: Starts,
        index: Index,
        say: Say,
        policy: ChangePolicy,
    ) -> None:
        self._workspace, self._sweep, self._index = workspace, keeper.record.sweep, index
        self._keeper, self._starts, self._say = keeper, starts, say
        self._policy = policy
        self._parent_id: str | None = None

    def run(self, variants: Sequence[Variant]) -> SweepRecord:
        """Run everything without a result; record and index note how it ended."""
        with interruption.deferred():
            # On disk before MLflow, where a sweep without a record would stay forever.
            self._keeper.write()
            directory = self._keeper.directory.path
            self._parent_id = self._index.start_sweep(self._keeper.record, directory)
            state: RunState = "interrupted"
            try:
                with interruption.allowed():
                    self._run_all(variants)
                    state = "finished"
            finally:
                self._index.finish_sweep(directory, state)
        return self._keeper.record

    def _run_all(self, variants: Sequence[Variant]) -> None:
        for variant in variants:
            require_counted_size(variant.model, self._sweep.vocab_size, self._sweep.n_outputs)
            self._keeper.note_model(variant)
        # Fails before hours of training if a storage cannot be opened.
        tuning = {config.name: (config, self._open(config)) for config in self._sweep.tuning}
        searches = [(config, self._open(config)) for config in self._sweep.studies]
        depths = depths_of(self._sweep.entries)
        # Models that start from another model's weights come after it.
        for depth in range(max(depths.values()) + 1):
            models = [variant for variant in variants if depths[variant.name] == depth]
            self._train_declared([v for v in models if v.name not in tuning])
            for variant in models:
                if variant.name in tuning:
                    self._search(*tuning[variant.name], role=variant.role)
            for config, study in searches:
                if depths[config.name] == depth:
                    self._search(config, study, role="best")

    def _train_declared(self, variants: Sequence[Variant]) -> None:
        asked = [(variant, seed) for variant in variants for seed in variant.seeds]
        # Runs that another process is training come last; they may be finished by then.
        for variant, seed in sorted(asked, key=lambda one: self._is_busy(*one)):
            with self._skipping_without_source(f"{variant.name}, seed {seed}"):
                self._train(variant, seed)

    @contextlib.contextmanager
    def _skipping_without_source(self, what: str) -> Iterator[None]:
        """Skip a model whose source of weights failed; reports show the gap."""
        try:
            yield
        except SourceNotTrainedError as error:
            self._say(f"{what}: not trained: {error}")

    def _open(self, config: Study) -> SearchStudy:
        storage = self._workspace.study_storage
        generation = self._keeper.record.studies[config.name].generation
        return open_study(storage, self._sweep, config, self._workspace.runs_dir, generation)

    def _search(self, config: Study, study: SearchStudy, role: Role) -> None:
        """Train the candidates of a study, then the best one with every seed."""
        with self._skipping_without_source(config.name):
            for seed in config.seeds:
                self._start(config.name, seed)
            self._search_from_source(config, study, role)

    def _search_from_source(self, config: Study, study: SearchStudy, role: Role) -> None:
        is_counted = self._keeper.record.studies[config.name].n_feasible is not None
        if grid_of(config) is not None and not is_counted:
            fitting = map(self._starts.fitting, candidate_variants(self._sweep, config))
            number = sum(isinstance(candidate, Variant) for candidate in fitting)
            self._keeper.note_n_feasible(config.name, number)

        def untried(tried: set[PointKey]) -> Point | None:
            candidates = itertools.islice(
                candidate_variants(self._sweep, config), len(tried) + _MOST_EXAMINED
            )
            others = (c for c in candidates if key_of(c.point) not in tried)
            fitting = map(self._starts.fitting, others)
            return next((c.point for c in fitting if isinstance(c, Variant)), None)

        while (proposal := study.propose(untried)) is not None:
            self._try_candidate(study, config, proposal)
        point = study.best_point()
        if point is None:
            self._say(f"no candidate of {config.name} finished; see `lab runs list`")
            return
        self._train_best(config, point, role)

    def _try_candidate(self, study: SearchStudy, config: Study, proposal: Proposal) -> None:
        variant = self._starts.fitting(candidate_variant(self._sweep, config, proposal.point))
        if isinstance(variant, Infeasible):
            self._keeper.note_infeasible(proposal, variant)
            study.reject_infeasible(proposal, variant.reason)
            return
        known = study.known_result(proposal)
        if known is not None:
            study.repeat(proposal, known)
            return
        seed = config.seeds[0]
        name = run_name(self._config(variant, seed), self._labels(variant))
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
            costs = self._keeper.record.costs_of(variant.model)
            assert costs is not None, "costs are recorded before training"
            objectives = objectives_of(config, self._sweep.objective)
            values = [read_objective(one, run.result, costs) for one in objectives]
            study.finish(proposal, values)

    def _train_best(self, config: Study, point: Point, role: Role) -> None:
        """Train the best candidate with every seed, like the declared models."""
        best = candidate_variant(self._sweep, config, point)
        assert isinstance(best, Variant), "a trained candidate has a model"
        best = replace(best, role=role, seeds=tuple(config.seeds))
        seeds = ", ".join(map(str, config.seeds))
        self._say(f"best candidate of {config.name}: {describe_point(point)}; seeds {seeds}")
        hashes = {identity(self._config(best, seed)) for seed in best.seeds}

        def is_kept(member: SweepMember) -> bool:
            is_of_this = (member.role, member.model) == (role, config.name)
            return not is_of_this or member.run_hash in hashes

        self._keeper.keep(is_kept)
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
        """Train one run and record its outcome; None for a failed run."""
        config = self._config(variant, seed)
        self._keeper.note_model(variant)
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
            self._keeper.note(member)
            for _ in range(_N_ATTEMPTS):
                ended, run = self._attempt(member, config, self._labels(variant), hooks)
                if run is not None or ended.cause not in _RETRIED:
                    break
                self._say(f"{member.run_name}: retrying after {ended.cause}")
            return self._keeper.note(ended), run

    def _attempt(
        self, member: SweepMember, config: RunConfig, labels: RunLabels, hooks: Sequence[Hook]
    ) -> tuple[SweepMember, RunRecord | None]:
        """Train one run once; wait first if another process is training it.

        Errors of this run alone make it a failed member; all others stop the sweep. Call with
        signals deferred: they are allowed only where they end the attempt.
        """
        try:
            with interruption.allowed():
                run = self._execute_when_free(member, config, labels, hooks)
        except (TrainingError, RecordError) as error:
            if isinstance(error, DriftError | CodeChangedError):
                self._note_end(member, "interrupted", str(error))
                raise
            cause = error.cause if isinstance(error, TrainingError) else "other"
            self._say(f"{member.run_name}: failed: {error}")
            update = {"state": "failed", "reason": str(error), "cause": cause}
            return member.model_copy(update=update), None
        except (KeyboardInterrupt, LabError) as error:
            # Errors of storage, data, device or workspace would fail every other run too.
            self._note_end(member, "interrupted", str(error))
            raise
        except Exception as error:
            self._note_end(member, "failed", f"{type(error).__name__}: {error}")
            raise
        # If an equal configuration was trained under another name, that run is the member.
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
                    policy=self._policy,
                )
            except RunBusyError as error:
                self._say(f"{member.run_name}: waiting: {error}")
                while is_owned(self._workspace.runs_dir, member.run_hash):
                    time.sleep(_BUSY_POLL_SECONDS)

    def _is_busy(self, variant: Variant, seed: int) -> bool:
        try:
            run_hash = identity(self._config(variant, seed))
        except RecordError:  # reported when that run is trained
            return False
        return is_owned(self._workspace.runs_dir, run_hash)

    def _config(self, variant: Variant, seed: int) -> RunConfig:
        """Return the configuration of a run, with its initial checkpoint, if any."""
        return config_of(self._sweep, variant, seed, self._start(variant.name, seed))

    def _start(self, name: str, seed: int) -> InitialWeights | None:
        return self._starts.find(name, seed, self._keeper.record.members)

    def _note_end(self, member: SweepMember, state: RunState, reason: str) -> None:
        """Record how a run ended; a run with a result is finished."""
        if (self._keeper.directory.run_dir(member) / RESULT_FILE).is_file():
            state, reason = "finished", ""
        self._keeper.note(member.model_copy(update={"state": state, "reason": reason}))

    def _labels(self, variant: Variant) -> RunLabels:
        return RunLabels(size=self._sweep.size, variant=variant.name, sweep=sweep_id(self._sweep))
