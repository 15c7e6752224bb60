import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from switchhead_lab.errors import WorkspaceError
from switchhead_lab.tracking import mlflow_server
from switchhead_lab.tracking.mlflow_index import EXPERIMENT
from switchhead_lab.tracking.mlflow_server import free_port, serve_ui

API = "/api/2.0/mlflow"
COMMAND = """
import signal, typer
from switchhead_lab.cli.ui import ui
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in shells' background jobs
typer.run(ui)
"""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def is_running(process: psutil.Process) -> bool:
    # Without an init process, orphaned processes stay zombies.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def killed_on_failure(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill a process if the block fails: leaving `with process` would wait for it forever."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


def get(port: int, path: str) -> dict[str, Any]:
    """Return an answer of the server."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())


@pytest.mark.thorough
@pytest.mark.parametrize(
    "stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_the_interface_is_served_and_leaves_no_processes(
    tmp_path: Path, template_database: Path, taken: int, stop: signal.Signals
) -> None:
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    (tmp_path / "runs").mkdir()
    shutil.copy(template_database, tmp_path / "runs" / "mlflow.db")
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.tmp; mv {opened}.tmp {opened}\n')
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--port", str(taken), "--open"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_HOME": str(tmp_path), "BROWSER": f"{browser} %s"},
    )
    assert process.stdout is not None
    with process, process.stdout, killed_on_failure(process):
        assert f"port {taken} is taken; using " in process.stdout.readline()
        served = re.search(
            r"at (http://127\.0\.0\.1:(\d+)/#/experiments/(\w+)/runs) ", process.stdout.readline()
        )
        assert served
        page, port, experiment_id = served.groups()
        wait_until(opened.is_file)
        assert opened.read_text(encoding="utf-8") == page
        found = get(int(port), f"{API}/experiments/get?experiment_id={experiment_id}")
        assert found["experiment"]["name"] == EXPERIMENT
        children = psutil.Process(process.pid).children(recursive=True)
        assert 2 <= len(children) <= 4
        process.send_signal(stop)
        assert process.wait(60) == 0
        assert process.stdout.read() == "MLflow stopped\n"
    assert [child for child in children if is_running(child)] == []


LISTEN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
path = pathlib.Path(os.environ["PIDS"])
path.with_suffix(".tmp").write_text(f"{os.getpid()} {child.pid}")
path.with_suffix(".tmp").rename(path)
time.sleep(600)
"""
SERVE = """
import os, sys
from pathlib import Path
from switchhead_lab.tracking import mlflow_server
mlflow_server.STOP_SECONDS = 0.5
mlflow_server.sys.executable = os.environ["FAKE_PYTHON"]
with open(os.devnull, "wb") as log:
    process = mlflow_server._start("sqlite:///x.db", Path(os.environ["FOLDER"]), 1, "mark", log)
    process.wait()
"""


@pytest.mark.thorough
def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Both the server, which ignores SIGTERM here, and its child exit."""
    python = tmp_path / "python"
    # Replaces `python -m mlflow server`; the watchdog is the real one.
    (tmp_path / "listen.py").write_text(LISTEN, encoding="utf-8")
    python.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
        f"exec {sys.executable} {tmp_path}/listen.py\n",
        encoding="utf-8",
    )
    python.chmod(0o755)
    pids = tmp_path / "pids"
    places = {"PIDS": str(pids), "FAKE_PYTHON": str(python), "FOLDER": str(tmp_path / "files")}
    with subprocess.Popen([sys.executable, "-c", SERVE], env={**os.environ, **places}) as parent:
        wait_until(pids.is_file)
        processes = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
        processes += psutil.Process(parent.pid).children()
        assert [is_running(process) for process in processes] == [True] * 3
        parent.kill()
    wait_until(lambda: not any(is_running(process) for process in processes))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_python(code: str) -> object:
    def start(
        _uri: str, _artifacts: Path, _port: int, _mark: str, log: object
    ) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", code]
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    return start


def test_a_failed_start_is_reported_with_its_reason(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_server, "_start", start_python("exit('boom')"))
    with pytest.raises(WorkspaceError, match=r"did not start:\nboom"):
        serve_ui(tracking_uri, tmp_path / "artifacts", 5000, lambda _line: None)


LISTENING = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.mark.thorough
def test_a_port_taken_while_the_server_starts_is_not_announced_as_ours(
    tracking_uri: str, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server answers on the port by the time ours would have it; the next is used."""
    start, started = mlflow_server._start, []
    strangers: list[subprocess.Popen[bytes]] = []

    def start_after_another(uri: str, artifacts: Path, port: int, mark: str, log: object):
        started.append(port)
        if len(started) == 1:
            command = [sys.executable, "-c", LISTENING, str(port)]
            strangers.append(subprocess.Popen(command))
            wait_until(lambda: not mlflow_server._is_free(port))
        return start(uri, artifacts, port, mark, log)

    monkeypatch.setattr(mlflow_server, "_start", start_after_another)
    lines: list[str] = []

    def stop_when_served(line: str) -> None:
        lines.append(line)
        if "served" in line:
            raise KeyboardInterrupt

    try:
        serve_ui(tracking_uri, tmp_path / "artifacts", free_port(taken), stop_when_served)
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()
    first, second = started
    assert second > first
    assert lines[0] == f"port {first} is taken; using {second}"
    assert f"127.0.0.1:{second}/" in lines[1]
    assert lines[2:] == ["MLflow stopped"]


def test_a_server_that_does_not_answer_is_stopped(
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


def test_a_remote_server_is_only_announced(tmp_path: Path) -> None:
    lines: list[str] = []
    serve_ui("https://me:hunter2@tracking.example.org", tmp_path, 5000, lines.append)
    assert lines == ["MLflow is served at https://me:***@tracking.example.org"]


def test_the_runs_on_a_remote_server_are_known_from_those_sent_there(tmp_path: Path) -> None:
    for name, server, experiment_id in (
        ("a", "https://other.example.org", "3"),
        ("b", "https://me:***@tracking.example.org", "7"),
        ("c", "https://me:***@tracking.example.org", "7"),
    ):
        (tmp_path / name).mkdir()
        link = {"run_id": "x", "experiment_id": experiment_id, "tracking_uri": server}
        (tmp_path / name / "mlflow.json").write_text(json.dumps(link), encoding="utf-8")
    lines: list[str] = []
    opened: list[str] = []

    def open_page(page: str) -> bool:
        opened.append(page)
        return False

    address = "https://me:hunter2@tracking.example.org"
    serve_ui(address, tmp_path / "artifacts", 5000, lines.append, open_page)
    assert lines == [
        "MLflow is served at https://me:***@tracking.example.org/#/experiments/7/runs",
        "no browser could be opened; open this address yourself",
    ]
    assert opened == ["https://tracking.example.org/#/experiments/7/runs"]


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
