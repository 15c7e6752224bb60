"""MLflow's web interface over a tracking database: one worker, no job runners, stopped cleanly."""

import contextlib
import errno
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from switchhead_lab.config.addresses import UI_HOST, is_server
from switchhead_lab.config.redaction import MASK, mask_address, mask_passwords
from switchhead_lab.errors import ConfigError, WorkspaceError, reason_of
from switchhead_lab.tracking.atomic import make_directory
from switchhead_lab.tracking.file_names import MLFLOW_LINK_FILE
from switchhead_lab.tracking.mlflow_access import USER, SharedAccess
from switchhead_lab.tracking.mlflow_environment import quiet_environment
from switchhead_lab.tracking.mlflow_index import EXPERIMENT
from switchhead_lab.tracking.mlflow_pages import page_of_runs
from switchhead_lab.tracking.mlflow_store import prepare_experiment
from switchhead_lab.tracking.record import read_mlflow_link

N_PORTS_TRIED = 100
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
N_LINES_SHOWN = 15
_MARK_HEADER = "X-Lab-Server"
# A closing terminal sends SIGHUP, but not to the server, which has its own session.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
# Starts the server and ends its process group when the pipe from `lab ui` closes, even if `lab ui`
# was killed. Portable to any system with process groups, unlike PR_SET_PDEATHSIG.
_WATCHDOG = """
import os, signal, subprocess, sys, threading, time

def watch():
    os.read(0, 1)
    is_orphaned.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(float(sys.argv[1]))
    os.killpg(0, signal.SIGKILL)

is_orphaned = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: None)  # outlive the server, to kill stragglers
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
code = server.wait()
if is_orphaned.is_set():
    watcher.join()
sys.exit(code)
"""


def serve_ui(
    tracking_uri: str,
    artifact_dir: Path,
    port: int,
    announce: Callable[[str], None],
    open_page: Callable[[str], bool] | None = None,
    access: SharedAccess | None = None,
) -> None:
    """Serve MLflow's web interface, and announce the page of the workspace's runs.

    Serves until Ctrl-C or SIGTERM; returns immediately if a tracking server has the runs.

    Args:
        tracking_uri: SQLAlchemy address, or that of a tracking server.
        artifact_dir: Folder of MLflow's artifacts, in that of the runs.
        port: First port to try.
        announce: Called with each line for the user.
        open_page: Opens an address in a browser and returns whether it could; None to open nothing.
        access: Access from other machines; None for this one only.

    Raises:
        ConfigError: If other machines shall have access, but a tracking server has the runs.
        WorkspaceError: If there is no tracking store, or the server does not start or exits.
    """
    if tracking_uri == "none":
        raise WorkspaceError(
            'tracking_uri = "none" in lab.toml: there is no MLflow to show; '
            'set for example "sqlite:///runs/mlflow.db" and run `lab runs sync`'
        )
    if is_server(tracking_uri):
        if access is not None:
            raise ConfigError(
                f"--host {access.host}: the runs are on {mask_address(tracking_uri)}, which has "
                "its own settings; run `lab ui` without --host"
            )
        _present(_page_on_server(tracking_uri, artifact_dir.parent), "", announce, open_page)
        return
    quiet_environment()
    experiment_id = prepare_experiment(tracking_uri, artifact_dir, EXPERIMENT)
    while True:
        free = free_port(port, UI_HOST if access is None else access.host)
        if free != port:
            announce(f"port {port} is taken; using {free}")
        try:
            with (
                _interrupt_on(STOP_SIGNALS),
                _running(tracking_uri, artifact_dir, free, access) as server,
            ):
                shown = UI_HOST if access is None else access.shown_host
                login = "" if access is None else f'; log in as "{USER}"'
                page = page_of_runs(f"http://{shown}:{free}", experiment_id)
                _present(page, f" (Ctrl-C stops it{login})", announce, open_page)
                server.wait_for_exit()
        except _PortTakenError:  # by another program while the server started
            port = free
            continue
        except KeyboardInterrupt:
            announce("MLflow stopped")
        return


class _PortTakenError(Exception):
    """Another program took the port before the server did."""


@dataclass(frozen=True)
class _Server:
    """A server that was started here.

    Attributes:
        process: Its watchdog.
        port: Its port.
        mark: Value of the response header that identifies this server.
        log: What it printed.
        access: Access from other machines; None for this one only.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    mark: str
    log: IO[bytes]
    access: SharedAccess | None = None

    @property
    def host(self) -> str:
        """Address at which this process reaches it."""
        return UI_HOST if self.access is None else self.access.own_address

    def wait_until_healthy(self) -> None:
        """Return when it answers.

        Raises:
            _PortTakenError: If another program has the port.
            WorkspaceError: If it exits or does not answer in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if not _is_free(self.port, UI_HOST if self.access is None else self.access.host):
                    raise _PortTakenError
                raise WorkspaceError(f"the MLflow server did not start:\n{self._last_lines()}")
            if _is_healthy(self.port, self.mark, self.host):
                return
            time.sleep(POLL_SECONDS)
        raise WorkspaceError(
            f"the MLflow server did not answer within {START_SECONDS:g} s:\n{self._last_lines()}"
        )

    def require_login(self) -> None:
        """Check that a server for other machines answers nobody without a password.

        Raises:
            WorkspaceError: If it does.
        """
        if (
            self.access is not None
            and (status := _status_without_login(self.host, self.port)) != 401
        ):
            raise WorkspaceError(
                f"the MLflow server answers without a login (status {status}); it was stopped"
            )

    def wait_for_exit(self) -> None:
        """Wait until it exits, and raise WorkspaceError."""
        self.process.wait()
        raise WorkspaceError(f"the MLflow server exited unexpectedly:\n{self._last_lines()}")

    def _last_lines(self) -> str:
        text = _last_lines(self.log)
        return text if self.access is None else text.replace(self.access.password, MASK)


@contextlib.contextmanager
def _running(
    tracking_uri: str, artifact_dir: Path, port: int, access: SharedAccess | None
) -> Iterator[_Server]:
    """Start a server, yield it when it answers, and stop it at the end of the block."""
    mark = secrets.token_hex(8)
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        if access is None:
            process = _start(tracking_uri, artifact_dir, port, mark, log)
        else:
            environment = _environment(tracking_uri, artifact_dir)
            environment |= access.environment(Path(folder))
            process = _launch(artifact_dir, access.options(port), environment, mark, log)
        try:
            server = _Server(process, port, mark, log, access)
            server.wait_until_healthy()
            server.require_login()
            yield server
        finally:
            _stop(process)


def _present(
    page: str, note: str, announce: Callable[[str], None], open_page: Callable[[str], bool] | None
) -> None:
    announce(f"MLflow is served at {page}{note}")
    if open_page is None:
        return
    parts = urlsplit(page)
    # The password is masked; the browser asks for it.
    without_user = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if not open_page(without_user):
        announce("no browser could be opened; open this address yourself")


def _page_on_server(tracking_uri: str, runs_dir: Path) -> str:
    """Return the page of the runs on a tracking server, or the server's address if none are known.

    The experiment is that of a run sent there, so the server is not queried.
    """
    server = mask_address(tracking_uri)
    for path in sorted(runs_dir.glob(f"*/{MLFLOW_LINK_FILE}")):
        link = read_mlflow_link(path.parent) or {}
        if link.get("tracking_uri") == mask_passwords(tracking_uri) and "experiment_id" in link:
            return page_of_runs(server, link["experiment_id"])
    return server


def free_port(first: int, host: str = UI_HOST) -> int:
    """Return the first port from `first` on that nothing listens on.

    Raises:
        WorkspaceError: If none of the ports tried is free.
    """
    last = min(first + N_PORTS_TRIED, 65_536) - 1
    for port in range(first, last + 1):
        if _is_free(port, host):
            return port
    raise WorkspaceError(f"ports {first} to {last} are all taken; choose another with --port")


def _is_free(port: int, host: str = UI_HOST) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise _not_ours(host, error) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _not_ours(host, error) from None
            return False
    return True


def _not_ours(host: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"--host {host}: not an address of this machine: {reason_of(error)}; name one of its own, "
        "or 0.0.0.0 for all of them"
    )


def _start(
    tracking_uri: str, artifact_dir: Path, port: int, mark: str, log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start a server for this machine only."""
    options = ["--host", UI_HOST, "--port", str(port)]
    return _launch(artifact_dir, options, _environment(tracking_uri, artifact_dir), mark, log)


def _environment(tracking_uri: str, artifact_dir: Path) -> dict[str, str]:
    """Return the variables of a server."""
    return {
        **os.environ,
        # In the environment rather than on the command line, which every user can read.
        "MLFLOW_BACKEND_STORE_URI": tracking_uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": artifact_dir.resolve().as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _launch(
    artifact_dir: Path, options: list[str], environment: dict[str, str], mark: str, log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _WATCHDOG, str(STOP_SECONDS), sys.executable]
    command += ["-m", "mlflow", "server", *options, "--workers", "1"]
    command += ["--uvicorn-opts", f"--header {_MARK_HEADER}:{mark}"]
    return subprocess.Popen(
        command,
        cwd=make_directory(artifact_dir),  # MLflow looks for its own stores in the working folder
        env=environment,
        stdin=subprocess.PIPE,  # closes with this process, which the watchdog waits for
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that the server and its worker can be stopped together
    )


def _status_without_login(host: str, port: int) -> int:
    """Return the status of a page that only users may see; 0 if the server does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=10.0)
    try:
        connection.request("GET", "/api/2.0/mlflow/experiments/search?max_results=1")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _is_healthy(port: int, mark: str, host: str) -> bool:
    """Return whether the server with this mark answers on a port; another one may have it."""
    connection = http.client.HTTPConnection(host, port, timeout=2.0)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and answer.getheader(_MARK_HEADER) == mark
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its children; a second Ctrl-C does not interrupt this."""
    with _ignoring((signal.SIGINT, *STOP_SIGNALS)):
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while _signal_group(process, 0) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        _signal_group(process, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> bool:
    """Send a signal to the server's processes; return whether there are any."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    return mask_passwords("\n".join(lines[-N_LINES_SHOWN:])) or "(it printed nothing)"


@contextlib.contextmanager
def _interrupt_on(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Treat signals like Ctrl-C."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    with _handling(signals, interrupt):
        yield


@contextlib.contextmanager
def _ignoring(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    with _handling(signals, signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handling(signals: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
