"""`lab ui` serves this machine only, or others with a password that appears nowhere."""

import base64
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from command_line import lab

from switchhead_lab.cli.ui import ui
from switchhead_lab.config.addresses import UI_HOST
from switchhead_lab.errors import ConfigError, WorkspaceError
from switchhead_lab.tracking import mlflow_access, mlflow_server
from switchhead_lab.tracking.mlflow_access import SharedAccess, is_loopback, shared_access

PASSWORD = "correct-horse-battery"


def refuse() -> str:
    raise AssertionError("no password is needed")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1", "LOCALHOST"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert is_loopback(host)
    assert shared_access(host, None, refuse) is None


def test_the_default_is_this_machine() -> None:
    assert ui.__defaults__ is not None
    assert ui.__defaults__[-1] == UI_HOST
    assert is_loopback(UI_HOST)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "my-machine", "192.168.0.7"])
def test_any_other_host_needs_a_password(host: str) -> None:
    assert not is_loopback(host)
    assert shared_access(host, PASSWORD, refuse) == SharedAccess(host, PASSWORD)
    assert shared_access(host, None, lambda: PASSWORD) == SharedAccess(host, PASSWORD)


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 11, "p\u00e4ssword-long-enough", "a\n" * 9]
)
def test_unusable_passwords_are_rejected_without_quoting_them(password: str) -> None:
    with pytest.raises(ConfigError, match="use at least 12") as caught:
        shared_access("10.0.0.1", password, refuse)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["", "::", "::1", "999.1.1.1", "a b", "-x", "http://x", "1.2.3", "x/y"]
)
def test_other_hosts_are_one_clear_error(host: str) -> None:
    with pytest.raises(ConfigError, match="not an IPv4 address or host name; use 127.0.0.1"):
        shared_access(host, PASSWORD, refuse)


def test_without_mlflows_login_it_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_access.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(WorkspaceError, match=r"pip install 'mlflow\[auth\]'"):
        shared_access("10.0.0.1", PASSWORD, refuse)


def test_the_password_is_in_one_variable_only(tmp_path: Path) -> None:
    access = SharedAccess("0.0.0.0", PASSWORD)
    assert PASSWORD not in repr(access)
    assert PASSWORD not in " ".join(access.options(5000))
    environment = access.environment(tmp_path)
    assert [key for key, value in environment.items() if PASSWORD in value] == [
        "MLFLOW_AUTH_ADMIN_PASSWORD"
    ]
    assert all(PASSWORD not in path.read_text() for path in tmp_path.iterdir())
    # Only pages of this machine may send requests with a user's login.
    origins = access.options(5000)[access.options(5000).index("--cors-allowed-origins") + 1]
    assert all(re.fullmatch(r"http://[\w.*-]+:5000", origin) for origin in origins.split(","))
    assert "http://*" not in origins


def test_mistakes_end_with_code_2_before_anything_listens(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("LAB_UI_PASSWORD", raising=False)
    (tmp_path / "lab.toml").write_text('device = "cpu"\n')
    done = lab("ui", "--host", "0.0.0.0", cwd=tmp_path, code=2)
    assert "needs a password; set LAB_UI_PASSWORD" in done.stderr
    monkeypatch.setenv("LAB_UI_PASSWORD", "too-short")
    done = lab("ui", "--host", "0.0.0.0", cwd=tmp_path, code=2)
    assert "has 9 characters; use at least 12" in done.stderr
    assert "too-short" not in done.stderr
    monkeypatch.setenv("LAB_UI_PASSWORD", PASSWORD)
    (tmp_path / "lab.toml").write_text('tracking_uri = "http://127.0.0.1:9"\n')
    done = lab("ui", "--host", "0.0.0.0", cwd=tmp_path, code=2)
    assert "which has its own settings; run `lab ui` without --host" in done.stderr


def test_a_host_of_another_machine_is_rejected() -> None:
    with pytest.raises(ConfigError, match="not an address of this machine"):
        mlflow_server.free_port(5000, "203.0.113.7")


def test_a_server_without_a_login_is_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = "import sys; from http.server import *; HTTPServer(('127.0.0.1', int(sys.argv[1])), "
    code = f"{answer}SimpleHTTPRequestHandler).serve_forever()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(port)], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        with (tmp_path / "log").open("w+b") as log:
            access = SharedAccess("127.0.0.1", PASSWORD)
            server = mlflow_server._Server(process, port, "mark", log, access)
            while mlflow_server._status_without_login("127.0.0.1", port) == 0:
                assert process.poll() is None
            with pytest.raises(WorkspaceError, match="answers without a login"):
                server.require_login()
    finally:
        process.kill()
        process.wait()


def status(port: int, path: str, password: str = "", method: str = "GET", **headers: str) -> int:
    if password:
        token = base64.b64encode(f"lab:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status


COMMAND = """
import signal, typer
from switchhead_lab.cli.ui import ui
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in shells' background jobs
typer.run(ui)
"""


@pytest.mark.thorough
def test_others_have_to_log_in_and_the_password_appears_nowhere(
    tmp_path: Path, template_database: Path
) -> None:
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    (tmp_path / "runs").mkdir()
    shutil.copy(template_database, tmp_path / "runs" / "mlflow.db")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    places = {"LAB_HOME": str(tmp_path), "LAB_UI_PASSWORD": PASSWORD, "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--port", "5870", "--host", "0.0.0.0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **places},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "is taken" in line:
            line = process.stdout.readline()
        served = re.search(
            r"at http://[^/]+:(\d+)/#/experiments/\w+/runs .*log in as \"lab\"", line
        )
        assert served, line
        port, api = int(served[1]), "/api/2.0/mlflow/experiments/search?max_results=1"
        assert status(port, api) == 401
        assert status(port, "/") == 401
        assert status(port, api, "wrong-password-here") == 401
        assert status(port, api, PASSWORD) == 200
        assert status(port, api, PASSWORD, Host="evil.example") == 403
        assert status(port, api, PASSWORD, "POST", Origin="http://evil.example") == 403
        children = psutil.Process(process.pid).children(recursive=True)
        words = [word for child in children for word in child.cmdline()]
        assert not any(PASSWORD in word for word in words)
        assert all("LAB_UI_PASSWORD" not in child.environ() for child in children)
        process.send_signal(2)
        assert PASSWORD not in process.stdout.read()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert list(scratch.iterdir()) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files)
