"""How busy a sweep keeps its workers: real workers and a real record, with training simulated."""

import json
import multiprocessing
import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.contract.counted_size import require_counted_size
from switchhead_lab.errors import LabError, RecordError
from switchhead_lab.objectives.metrics import LOSS
from switchhead_lab.sweeping.executor import joined, train_rest
from switchhead_lab.sweeping.other_hosts import NoFetcher
from switchhead_lab.sweeping.plan import Variant, declared_variants
from switchhead_lab.sweeping.record_keeper import joined_record
from switchhead_lab.sweeping.starts import Starts
from switchhead_lab.tracking.interruption import interruption
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, RunRecord, RunResult, RunStatus, run_name
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.sweep_store import forget_sweep, open_sweep
from switchhead_lab.training.change_policy import STRICT

# Processes are started in small groups, so that starting them takes no time from those that work.
_STARTED_AT_ONCE = 8
_PAUSE_SECONDS = 0.2
_RESULT = RunResult(
    validation={LOSS.name: 0.0},
    test={LOSS.name: 0.0},
    n_parameters=0,
    n_steps=0,
    n_tokens=0,
    ms_per_step=0.0,
    tokens_per_second=0.0,
    training_seconds=0.0,
    device="simulated",
    precision="fp32",
)


@dataclass(frozen=True)
class WorkersBench:
    """What workers of a sweep did, apart from training.

    Attributes:
        store: "postgresql", or "files" for locks and records on a disk.
        n_workers: Workers.
        n_runs: Runs per worker, on average.
        run_s: Simulated time of a run.
        joining_s: Time until all workers had joined.
        busy_fraction: Time in runs by time from joining to the end of the last run, of all workers.
        first_wait_s: Median time from joining to the first run.
        longest_first_wait_s: The longest one.
        wait_s: Median time between two runs of a worker.
        longest_wait_s: The longest one.
    """

    store: str
    n_workers: int
    n_runs: int
    run_s: float
    joining_s: float
    busy_fraction: float
    first_wait_s: float
    longest_first_wait_s: float
    wait_s: float
    longest_wait_s: float


def bench_workers(
    workspace: Workspace,
    sweep: Sweep,
    n_workers: int,
    n_runs: int,
    run_seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> WorkersBench:
    """Let processes share the runs of a sweep, each of which only takes its time.

    With a database each process has a folder of its own, like a host; its rows are removed at the
    end. Otherwise all of them share a folder, like processes of one host.

    Args:
        workspace: Its database is used, if it has one.
        sweep: Its baseline is trained, with as many seeds as there are runs.
        n_workers: Worker processes.
        n_runs: Runs per worker.
        run_seconds: Time of a run.
        progress: Called with a line at each stage.

    Raises:
        RecordError: If a worker fails, or a run was trained twice or never.
        StorageError: If the database or the disk fails.
    """
    declared = _with_seeds(sweep, n_workers * n_runs)
    variants = declared_variants(declared)
    # Each worker does both again; what they import is imported once for all of them.
    for variant in variants:
        require_counted_size(variant.model, declared.vocab_size, declared.n_outputs)
    forget_sweep(workspace, declared)
    with TemporaryDirectory() as scratch:
        crew = _Crew(workspace, declared, variants, run_seconds, Path(scratch))
        try:
            started = time.time()
            done = crew.work(n_workers, progress)
        finally:
            forget_sweep(workspace, declared)
    trained = [name for one in done for name in one["runs"]]
    if len(trained) != len(set(trained)) or len(trained) != n_workers * n_runs:
        raise RecordError(
            f"{n_workers * n_runs} runs, of which {len(set(trained))} were trained, "
            f"{len(trained) - len(set(trained))} of them again"
        )
    return _summary(workspace, done, n_workers, n_runs, run_seconds, started)


def _with_seeds(sweep: Sweep, n_seeds: int) -> Sweep:
    """Return a sweep of the baseline alone, under a name of its own."""
    tree = sweep.model_dump(mode="json")
    kept = ("size", "matching", "convention", "objective", "data", "model", "training", "baseline")
    baseline = {**tree["baseline"], "seeds": list(range(n_seeds))}
    name = f"bench-workers-{secrets.token_hex(3)}"
    values = {key: tree[key] for key in kept if key in tree}
    return Sweep.model_validate({**values, "name": name, "baseline": baseline})


@dataclass(frozen=True)
class _Crew:
    """Worker processes and what they share."""

    workspace: Workspace
    sweep: Sweep
    variants: Sequence[Variant]
    run_seconds: float
    scratch: Path

    def work(self, n_workers: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
        """Start workers, wait for their end, and return what each of them reports."""
        # Forked, since modules loaded anew would need more memory than any machine has.
        fork = multiprocessing.get_context("fork")
        processes = [
            fork.Process(target=self._report, args=(number,)) for number in range(n_workers)
        ]
        progress(f"starting {n_workers} workers")
        for number, process in enumerate(processes, start=1):
            process.start()
            if number % _STARTED_AT_ONCE == 0:
                time.sleep(_PAUSE_SECONDS)
        progress("all started")
        for process in processes:
            process.join()
        reports = [self._path(number) for number in range(n_workers)]
        done = [json.loads(path.read_text()) for path in reports if path.is_file()]
        failed = [one["error"] for one in done if "error" in one]
        if failed or len(done) < n_workers:
            reason = failed[0] if failed else "it was killed"
            number = len(failed) + n_workers - len(done)
            raise RecordError(f"{number} of {n_workers} workers failed; the first: {reason}")
        return done

    def _path(self, number: int) -> Path:
        return self.scratch / f"worker-{number}.json"

    def _report(self, number: int) -> None:
        """Work, and write what was done or why it failed."""
        try:
            done = self._work(number)
        except LabError as error:
            done = {"error": str(error)}
        self._path(number).write_text(json.dumps(done))

    def _work(self, number: int) -> dict[str, Any]:
        host = f"host-{number}" if self.workspace.database else "host"
        workspace = Workspace(self.scratch / host, self.workspace.settings)
        starts = Starts(self.sweep, self.variants, workspace.runs_dir, NoFetcher())
        trainer = _Simulated(self.run_seconds)
        with interruption.deferred():
            directory = open_sweep(workspace, self.sweep)

            def begun(known: SweepRecord | None) -> SweepRecord:
                others = directory.workers.alive_ids()
                return joined_record(self.sweep, known, others, self.variants, starts)

            with joined(directory, begun, {}, NoIndex()) as part:
                joined_at = time.time()
                train_rest(
                    workspace,
                    part,
                    self.variants,
                    starts,
                    NoFetcher(),
                    NoIndex(),
                    lambda _line: None,
                    STRICT,
                    trainer,
                )
        return {"joined": joined_at, "runs": trainer.runs, "times": trainer.times}


class _Simulated:
    """Takes the time of a run instead of training it.

    Attributes:
        runs: Names of the runs.
        times: Start and end of each of them.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.runs: list[str] = []
        self.times: list[tuple[float, float]] = []

    def __call__(
        self, workspace: Workspace, config: RunConfig, labels: RunLabels, **_: object
    ) -> RunRecord:
        started = time.time()
        time.sleep(self._seconds)
        name = run_name(config, labels)
        self.runs.append(name)
        self.times.append((started, time.time()))
        status = RunStatus(state="finished", attempt=1, pid=0, host="", started_at=started)
        return RunRecord(
            directory=workspace.runs_dir / name,
            run_hash="",
            labels=labels,
            config=config,
            status=status,
            result=_RESULT,
            provenance={},
        )


def _summary(
    workspace: Workspace,
    done: Sequence[dict[str, Any]],
    n_workers: int,
    n_runs: int,
    run_seconds: float,
    started: float,
) -> WorkersBench:
    busy = sum(end - start for one in done for start, end in one["times"])
    present = sum(one["times"][-1][1] - one["joined"] for one in done if one["times"])
    first = [one["times"][0][0] - one["joined"] for one in done if one["times"]]
    waits = [
        later[0] - earlier[1]
        for one in done
        for earlier, later in zip(one["times"], one["times"][1:], strict=False)
    ] or [0.0]
    return WorkersBench(
        store="postgresql" if workspace.database else "files",
        n_workers=n_workers,
        n_runs=n_runs,
        run_s=run_seconds,
        joining_s=max(one["joined"] for one in done) - started,
        busy_fraction=busy / present,
        first_wait_s=statistics.median(first),
        longest_first_wait_s=max(first),
        wait_s=statistics.median(waits),
        longest_wait_s=max(waits),
    )
