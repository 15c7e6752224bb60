"""The cost to a sweep of trackers that hang, crawl, refuse or disconnect."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow_runs import find_sweep, parent_of
from run_makers import MakeRun, WriteSweep

from switchhead_lab.tracking.mlflow_bounds import (
    FILE_BOUNDS,
    NETWORK_BOUNDS,
    Allowance,
    Bounds,
    bounds_for,
)
from switchhead_lab.tracking.mlflow_index import MlflowIndex
from switchhead_lab.tracking.mlflow_store import MlflowStore
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord
from switchhead_lab.tracking.unsynced import is_unsynced, unsynced_notice

BOUNDS = Bounds(failing_seconds=0.6, retry_seconds=0.4)
N_RUNS = 4
ERROR_500 = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}"


class BadServer:
    """A local server that mishandles every request."""

    def __init__(self, treat: Callable[["BadServer", socket.socket], None]) -> None:
        self._treat = treat
        self.stopping = threading.Event()
        self.n_connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self.stopping.set()
        with closing(socket.create_connection(self._listener.getsockname())):
            pass  # wakes the accepting thread
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self.n_connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection):
            connection.settimeout(0.1)
            with contextlib.suppress(OSError):  # the client has gone
                self._treat(self, connection)


def hang(server: BadServer, _connection: socket.socket) -> None:
    server.stopping.wait()


def crawl(server: BadServer, connection: socket.socket) -> None:
    connection.recv(65_536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 10_000:
        connection.sendall(bytes([byte]))
        if server.stopping.wait(0.1):
            return


def answer_500(_server: BadServer, connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(ERROR_500)


def break_off(server: BadServer, connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    connection.shutdown(socket.SHUT_WR)
    server.stopping.wait(0.2)


@pytest.fixture(params=[hang, crawl, answer_500, break_off])
def bad_server(request: pytest.FixtureRequest) -> Iterator[BadServer]:
    server = BadServer(request.param)
    yield server
    server.stop()


def run_sweep_of(index: MlflowIndex, sweep: SweepRecord, runs: list[RunRecord]) -> Path:
    runs_dir = runs[0].directory.parent
    folder = SweepDir.of(runs_dir, sweep.sweep).path
    parent_id = index.start_sweep(sweep, folder)
    for run in runs:
        index.start_run(run, parent_id).finish("finished")
    index.finish_sweep(folder, "finished")
    return folder


def test_a_bad_server_delays_a_sweep_within_the_bounds(
    bad_server: BadServer,
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    runs = [make_run(seed=seed) for seed in range(N_RUNS)]
    index = MlflowIndex(bad_server.uri, "test", runs_dir / "mlflow-artifacts", BOUNDS)
    folder = run_sweep_of(index, write_sweep("sweep", runs), runs)
    assert 1 <= bad_server.n_connections <= 2 * N_RUNS
    assert [is_unsynced(run.directory) for run in runs] == [True] * N_RUNS
    assert is_unsynced(folder)
    assert unsynced_notice(runs_dir) == "4 runs are not in MLflow yet: lab runs sync"
    errors = capsys.readouterr().err
    assert errors.count("warning: MLflow at") == 1


class Clock:
    """A fake clock: hanging attempts use up their time limit without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, index: MlflowIndex) -> None:
        self.now = 0.0
        self.is_hanging = True
        self.n_tried = 0
        # Only of this module: urllib3 and locks measure their waits by the same function.
        clock = SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr("switchhead_lab.tracking.mlflow_index.time", clock)
        worker = index._worker
        original = worker.run

        def run(action: Callable[[], Any], seconds: float) -> Any:
            self.n_tried += 1
            if self.is_hanging:
                self.now += seconds
                raise TimeoutError("no answer")
            return original(action, 60.0)

        monkeypatch.setattr(worker, "run", run)


def test_a_hanging_server_costs_the_sum_of_the_bounds(
    index: MlflowIndex,
    make_run: MakeRun,
    write_sweep: WriteSweep,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index._allowance = Allowance(NETWORK_BOUNDS)
    clock = Clock(monkeypatch, index)
    runs = [make_run(seed=seed) for seed in range(N_RUNS)]
    run_sweep_of(index, write_sweep("sweep", runs), runs)
    assert clock.now == NETWORK_BOUNDS.failing_seconds + NETWORK_BOUNDS.retry_seconds == 9.0
    assert clock.n_tried == 2


def test_a_tracker_that_recovers_by_the_end_of_a_sweep_gets_everything(
    index: MlflowIndex,
    store: MlflowStore,
    runs_dir: Path,
    make_run: MakeRun,
    write_sweep: WriteSweep,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, index)
    runs = [make_run(seed=seed) for seed in range(2)]
    sweep = write_sweep("sweep", runs)
    folder = SweepDir.of(runs_dir, sweep.sweep).path
    parent_id = index.start_sweep(sweep, folder)
    for run in runs:
        index.start_run(run, parent_id).finish("finished")
    assert [is_unsynced(path) for path in (folder, *(run.directory for run in runs))] == [True] * 3
    clock.is_hanging = False
    index.finish_sweep(folder, "finished")
    assert [is_unsynced(path) for path in (folder, *(run.directory for run in runs))] == [False] * 3
    parent = find_sweep(store, sweep)
    assert [parent_of(store, run) for run in runs] == [parent.info.run_id] * 2


def test_failures_spend_the_allowance_and_a_sweep_renews_it() -> None:
    allowance = Allowance(Bounds(failing_seconds=5.0, retry_seconds=2.0))
    allowance.spend(4.0)
    assert allowance.seconds == 1.0
    allowance.spend(1.5)
    assert allowance.seconds <= 0.0
    allowance.grant_retry()
    assert allowance.seconds == 2.0
    allowance.spend(2.0)
    allowance.grant_retry()
    assert allowance.seconds == 0.0
    allowance.renew()
    assert allowance.seconds == 5.0


def test_bounds_depend_on_the_kind_of_address() -> None:
    assert bounds_for("sqlite:////runs/mlflow.db") == FILE_BOUNDS
    assert bounds_for("http://tracker:5000") == NETWORK_BOUNDS
    assert bounds_for("postgresql+psycopg://host/db") == NETWORK_BOUNDS
