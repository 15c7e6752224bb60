import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking import mlflow_server
from switchhead_lab.tracking.mlflow_server import free_port, serve_ui

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

COMMAND = "import typer; from switchhead_lab.cli.ui import ui; typer.run(ui)"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def is_running(process: psutil.Process) -> bool:
    # Where the machine has no init, nobody waits for a process whose parent ended before it.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_the_interface_is_served_and_leaves_nothing_behind(
    tmp_path: Path, template_database: Path, taken: int, stop: signal.Signals
) -> None:
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    (tmp_path / "runs").mkdir()
    shutil.copy(template_database, tmp_path / "runs" / "mlflow.db")
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--port", str(taken)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    with process, process.stdout:
        assert f"port {taken} is taken; using " in process.stdout.readline()
        served = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert served
        connection = http.client.HTTPConnection("127.0.0.1", int(served[1]), timeout=10)
        with closing(connection):
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
        children = psutil.Process(process.pid).children(recursive=True)
        assert 1 <= len(children) <= 3
        process.send_signal(stop)
        began = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - began < mlflow_server.STOP_SECONDS
        assert process.stdout.read() == "MLflow stopped\n"
    assert [child for child in children if is_running(child)] == []


def start_python(code: str) -> object:
    def start(_uri: str, _artifacts: Path, _port: int, log: object) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", code]
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    return start


def test_a_server_that_does_not_start_says_why(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_server, "_start", start_python("exit('boom')"))
    with pytest.raises(WorkspaceError, match=r"did not start:\nboom"):
        serve_ui(tracking_uri, tmp_path / "artifacts", 5000, lambda _line: None)


def test_a_server_that_does_not_answer_is_given_up_and_stopped(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "still running"
    code = f"import time, pathlib; time.sleep(1); pathlib.Path({str(marker)!r}).touch()"
    monkeypatch.setattr(mlflow_server, "_start", start_python(code))
    monkeypatch.setattr(mlflow_server, "START_SECONDS", 0.3)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(WorkspaceError, match=r"did not answer within 0\.3 s:\n\(it printed no"):
        serve_ui(tracking_uri, tmp_path / "artifacts", 5000, lambda _line: None)
    assert signal.getsignal(signal.SIGTERM) == before
    time.sleep(1.2)
    assert not marker.exists()


def test_a_server_elsewhere_is_only_announced(tmp_path: Path) -> None:
    lines: list[str] = []
    serve_ui("https://me:hunter2@tracking.example.org", tmp_path, 5000, lines.append)
    assert lines == ["MLflow is served at https://me:***@tracking.example.org"]


def test_without_mlflow_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no MLflow to show"):
        serve_ui("none", tmp_path, 5000, lambda _line: None)


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(WorkspaceError, match=r"bad\.db: cannot be used: .*not a database"):
        serve_ui(f"sqlite:///{tmp_path}/bad.db", tmp_path, 5000, lambda _line: None)


def test_free_ports_are_found_above_taken_ones(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_port(taken) > taken
    monkeypatch.setattr(mlflow_server, "N_PORTS_TRIED", 1)
    with pytest.raises(WorkspaceError, match="all taken"):
        free_port(taken)
