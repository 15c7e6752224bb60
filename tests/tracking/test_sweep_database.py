"""The record of a sweep in PostgreSQL: locks, concurrent writers, restarts, vanished workers."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from lab_processes import wait_until
from tiny_sweep import DECLARATION

from switchhead_lab.config.addresses import with_schema
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError, StorageError
from switchhead_lab.sweeping.worker import outlasting_restarts
from switchhead_lab.tracking import database_server
from switchhead_lab.tracking.database_server import open_database, query
from switchhead_lab.tracking.sweep_database import DatabaseSweepDir
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_record import SweepRecord, sweep_id

N_WRITERS, N_WRITES = 8, 20
SWEEP = Sweep.model_validate(DECLARATION)
RECORD = SweepRecord(sweep=SWEEP, started_at=1.0, updated_at=1.0)


_engines: list[sqlalchemy.Engine] = []


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    while _engines:
        _engines.pop().dispose()
    open_database.cache_clear()


class Host:
    """A host with a workspace folder of its own; it shares only the database."""

    def __init__(self, root: Path, database: str, vanished_seconds: float = 90.0) -> None:
        engine = open_database.__wrapped__(with_schema(database, ""))  # as another process
        _engines.append(engine)
        path = root / "runs" / "sweeps" / sweep_id(SWEEP)
        self.engine = engine
        self.sweep = DatabaseSweepDir(path, engine, vanished_seconds)

    def count_up(self) -> None:
        """Add one to a number in the record."""
        with self.sweep.locked():
            record = self.sweep.read()
            time.sleep(0.002)  # long enough for others to interfere
            self.sweep.write(record.model_copy(update={"updated_at": record.updated_at + 1}))


def test_a_record_written_on_one_host_is_read_on_another(tmp_path, database) -> None:
    one, other = Host(tmp_path / "a", database), Host(tmp_path / "b", database)
    assert (one.sweep.version, one.sweep.read_known()) == (None, None)
    with pytest.raises(RecordError, match="not in the database"):
        one.sweep.read()
    with one.sweep.locked():
        one.sweep.write(RECORD)
    version = other.sweep.version
    assert other.sweep.read() == RECORD
    with other.sweep.locked():
        other.sweep.keep_copy(other.sweep.read())
    assert SweepDir(other.sweep.path).read() == RECORD, "the copy for reports on that host"
    one.count_up()
    assert other.sweep.version != version


def test_what_was_written_before_an_error_is_kept(tmp_path, database) -> None:
    one = Host(tmp_path / "a", database)

    def write_and_fail() -> None:
        with one.sweep.locked(), one.sweep.locked():
            one.sweep.write(RECORD)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert Host(tmp_path / "b", database).sweep.read() == RECORD


def test_eight_writers_lose_nothing(tmp_path, database) -> None:
    hosts = [Host(tmp_path / str(number), database) for number in range(N_WRITERS)]
    with hosts[0].sweep.locked():
        hosts[0].sweep.write(RECORD)
    write_at_once(hosts)
    assert hosts[0].sweep.read().updated_at == 1.0 + N_WRITERS * N_WRITES


def write_at_once(hosts: list[Host]) -> None:
    errors: list[BaseException] = []

    def write(host: Host) -> None:
        try:
            for _ in range(N_WRITES):
                outlasting_restarts(host.count_up)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_restart_of_the_server_loses_and_repeats_nothing(
    tmp_path, database, postgresql_server
) -> None:
    hosts = [Host(tmp_path / str(number), database) for number in range(N_WRITERS)]
    with hosts[0].sweep.locked():
        hosts[0].sweep.write(RECORD)

    def restart() -> None:
        time.sleep(0.5)
        postgresql_server.stop()  # as a crash
        time.sleep(1.0)
        postgresql_server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    write_at_once(hosts)
    restarting.join()
    assert hosts[0].sweep.read().updated_at == 1.0 + N_WRITERS * N_WRITES


def test_hosts_that_start_together_all_find_the_tables(tmp_path, database) -> None:
    address, errors = with_schema(database, ""), list[BaseException]()
    barrier = threading.Barrier(N_WRITERS)

    def start() -> None:
        barrier.wait()
        try:
            _engines.append(open_database.__wrapped__(address))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(N_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_silent_worker_is_held_for_dead_and_learns_it(tmp_path, database) -> None:
    one, other = Host(tmp_path / "a", database), Host(tmp_path / "b", database)

    with one.sweep.workers.joined({"code": 1}) as worker:
        (state,) = other.sweep.workers.alive()
        assert state.record == worker
        assert ids(other) == [worker.worker_id]
        assert one.sweep.workers.beat(worker.worker_id).is_alive
        assert ids(Host(tmp_path / "c", database, vanished_seconds=0.0)) == []
        assert ids(other) == []
        assert not one.sweep.workers.beat(worker.worker_id).is_alive


def test_a_server_that_was_down_makes_nobody_vanish(tmp_path, database, postgresql_server) -> None:
    one = Host(tmp_path / "a", database, vanished_seconds=30.0)
    with one.sweep.workers.joined({}) as worker:
        database_server.execute(
            _engines[-1], "UPDATE lab.workers SET seen = now() - interval '1 hour'"
        )
        postgresql_server.stop()
        postgresql_server.start()
        assert ids(Host(tmp_path / "b", database, vanished_seconds=30.0)) == [worker.worker_id]
        database_server.execute(
            _engines[-1],
            "UPDATE lab.workers SET seen = pg_postmaster_start_time() - interval '1 hour'",
        )
        assert ids(Host(tmp_path / "c", database, vanished_seconds=0.0)) == []


def test_workers_leave_and_are_asked_to_stop_on_every_host(tmp_path, database) -> None:
    one, other = Host(tmp_path / "a", database), Host(tmp_path / "b", database)
    with one.sweep.workers.joined({}) as worker:
        assert one.sweep.workers.beat(worker.worker_id) == (True, False)
        other.sweep.workers.request_stop()
        other.sweep.workers.request_stop()
        assert one.sweep.workers.is_stop_requested
        assert one.sweep.workers.beat(worker.worker_id) == (True, True)
    assert ids(other) == []
    one.sweep.workers.withdraw_stop()
    assert not other.sweep.workers.is_stop_requested


def test_a_process_suspended_in_a_change_frees_the_lock(tmp_path, database, monkeypatch) -> None:
    monkeypatch.setattr("switchhead_lab.tracking.sweep_database._IDLE_SECONDS", 1)
    one, other = Host(tmp_path / "a", database), Host(tmp_path / "b", database)

    def change_too_slowly() -> None:
        with one.sweep.locked():
            time.sleep(2.5)
            one.sweep.write(RECORD)

    slow = threading.Thread(target=lambda: failures.append(error_of(change_too_slowly)))
    failures: list[BaseException | None] = []
    slow.start()
    time.sleep(0.3)
    started = time.monotonic()
    with other.sweep.locked():
        other.sweep.write(RECORD.model_copy(update={"updated_at": 7.0}))
    waited = time.monotonic() - started
    slow.join()
    assert waited > 0.3
    assert isinstance(failures[0], StorageError)
    assert other.sweep.read().updated_at == 7.0


def test_a_worker_that_waits_for_the_lock_keeps_no_connection(tmp_path, database) -> None:
    one, other = Host(tmp_path / "a", database), Host(tmp_path / "b", database)
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid != pg_backend_pid() AND wait_event_type = 'Lock'"
    )

    def n_waiting() -> int:
        return query(one.engine, statement)[0][0]

    def wait_for_lock() -> None:
        with other.sweep.locked():
            other.sweep.write(RECORD)

    waiting = threading.Thread(target=wait_for_lock)
    with one.sweep.locked():
        waiting.start()
        # Longer than any pause between attempts.
        wait_until(lambda: n_waiting() == 1, 60.0)
        wait_until(lambda: n_waiting() == 0, 60.0)
        assert waiting.is_alive()
    waiting.join()
    assert one.sweep.read() == RECORD


def test_workers_are_counted_within_the_lock_without_another_connection(
    tmp_path, database, monkeypatch
) -> None:
    one = Host(tmp_path / "a", database)
    joined = one.sweep.workers.joined({})
    with joined as worker, one.sweep.locked(), monkeypatch.context() as patched:
        patched.setattr(one.engine, "connect", None)
        assert one.sweep.workers.alive_ids() == {worker.worker_id}
        assert [state.record for state in one.sweep.workers.alive()] == [worker]


def test_a_forgotten_sweep_leaves_nothing(tmp_path, database) -> None:
    one = Host(tmp_path / "a", database)
    with one.sweep.locked():
        one.sweep.write(RECORD)
    one.sweep.workers.request_stop()
    with one.sweep.workers.joined({}):
        one.sweep.forget()
        assert one.sweep.workers.alive_ids() == set()
    assert (one.sweep.version, one.sweep.workers.is_stop_requested) == (None, False)


def ids(host: Host) -> list[str]:
    return [state.record.worker_id for state in host.sweep.workers.alive()]


def error_of(action) -> BaseException | None:
    try:
        action()
    except BaseException as error:
        return error
    return None


def test_a_server_that_refuses_is_one_clear_error(monkeypatch, database) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong-secret")
    monkeypatch.setattr(database_server, "WAIT_SECONDS", 0.0)
    with pytest.raises(StorageError, match=r"database of lab\.toml fails: .*password") as error:
        open_database.__wrapped__(with_schema(database, ""))
    assert "wrong-secret" not in str(error.value)


def test_the_engine_is_shared_within_a_process(database) -> None:
    address = with_schema(database, "")
    assert isinstance(open_database(address), sqlalchemy.Engine)
    assert open_database(address) is open_database(address)
    _engines.append(open_database(address))
