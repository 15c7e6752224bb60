"""A real PostgreSQL server for tests, started and stopped by them."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from switchhead_lab.tracking.mlflow_server import free_port

USER, PASSWORD = "lab", "xyzzy/42"
PROGRAMS = [Path("/usr/lib/postgresql"), Path("/usr/pgsql")]


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None if it is not installed."""
    if (on_path := shutil.which("initdb")) is not None:
        return Path(on_path).resolve().parent
    found = [path.parent for root in PROGRAMS for path in root.glob("*/bin/initdb")]
    return max(found, default=None)


class Server:
    """A server with password login, on a free port, whose data are in a temporary folder.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        # Suites beside this one start their servers seconds after they chose a port too.
        self.port = free_port(54400 + 10 * (os.getpid() % 1000))
        password = folder / "password"
        password.write_text(PASSWORD)
        # PostgreSQL refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            for path in (folder, password):
                shutil.chown(path, self._user)
        login = ("-A", "scram-sha-256", "-U", USER, f"--pwfile={password}")
        self._call("initdb", "-D", str(folder / "data"), *login, "--no-sync")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off "
            "-c max_connections=200"
        )
        log = ("-l", str(self._folder / "log"))
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-w", *log, "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it, by default as a crash would."""
        self._call("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", mode, "stop")

    def create_database(self, name: str) -> str:
        """Create a database and return its address, without the password."""
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Run a server in the block."""
    programs = find_programs()
    assert programs is not None, "PostgreSQL is not installed"
    # Sockets have short paths; a folder of the tests' own is not readable for another user.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))
    try:
        server = Server(programs, folder)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):  # a test may have stopped it
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A running server; Debian's package `postgresql` has the programs."""
    if find_programs() is None:
        # An optional system package that pip cannot install, named in CONTRIBUTING.md.
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_server() as found:
        yield found


@pytest.fixture
def database(
    postgresql_server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Address of a new database, whose password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    name = "".join(c if c.isalnum() else "_" for c in request.node.name.lower())
    return postgresql_server.create_database(name[:60])
