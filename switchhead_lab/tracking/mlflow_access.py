"""Who may reach MLflow's web interface: this machine only, or others with a password."""

import importlib.util
import ipaddress
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.config.addresses import UI_HOST
from switchhead_lab.errors import ConfigError, WorkspaceError

PASSWORD_VARIABLE = "LAB_UI_PASSWORD"
USER = "lab"
"""User name of the web interface."""
MIN_PASSWORD_LENGTH = 12
"""Characters; MLflow accepts no shorter ones."""
_EVERYWHERE = "0.0.0.0"
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# Private networks, as patterns of addresses.
_PRIVATE = ("10.*", "192.168.*", *(f"172.{number}.*" for number in range(16, 32)))
# The password comes in a variable of its own: files can be read by others, or stay behind.
_CONFIG = """[mlflow]
default_permission = READ
database_uri = sqlite:///{database}
admin_username = {user}
"""


@dataclass(frozen=True)
class SharedAccess:
    """Access from other machines.

    Attributes:
        host: Address or name of this machine to listen on.
        password: Password of the user "lab"; never printed, logged or passed as an argument.
    """

    host: str
    password: str = field(repr=False)

    @property
    def own_address(self) -> str:
        """Address at which this machine itself reaches the server."""
        return UI_HOST if self.host == _EVERYWHERE else self.host

    @property
    def shown_host(self) -> str:
        """Host of the page that is announced."""
        return socket.gethostname() if self.host == _EVERYWHERE else self.host

    def options(self, port: int) -> list[str]:
        """Return the options of MLflow's server: address, login, allowed hosts and origins."""
        names = [self.shown_host, UI_HOST, "localhost"]
        names += _PRIVATE if self.host == _EVERYWHERE else ()
        hosts = [form for name in names for form in (name, f"{name}:*")]
        origins = [f"http://{name}:{port}" for name in names]
        return [
            *("--host", self.host, "--port", str(port)),
            *("--app-name", "basic-auth"),
            *("--allowed-hosts", ",".join(hosts)),
            *("--cors-allowed-origins", ",".join(origins)),
        ]

    def environment(self, folder: Path) -> dict[str, str]:
        """Return variables of MLflow's server.

        Args:
            folder: Private folder for the users' database, which lives as long as the server.
        """
        config = folder / "access.ini"
        database = folder / "users.db"
        config.write_text(_CONFIG.format(database=database, user=USER), encoding="utf-8")
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shared_access(host: str, password: str | None, ask: Callable[[], str]) -> SharedAccess | None:
    """Return who may reach the web interface; None for this machine only.

    Args:
        host: Value of `--host`.
        password: Value of `LAB_UI_PASSWORD`, if set.
        ask: Asks for the password.

    Raises:
        ConfigError: If the host is neither an IPv4 address nor a name, or the password is too
            short.
        WorkspaceError: If MLflow's login is not installed.
    """
    if is_loopback(host) and ":" not in host:
        return None
    is_address = re.fullmatch(r"[0-9.]+", host) is not None
    if not _HOST_NAME.fullmatch(host) or (is_address and not _is_ipv4(host)):
        raise ConfigError(
            f"--host {host!r}: not an IPv4 address or host name; use {UI_HOST} for this machine "
            f"only, or an address of this machine, or {_EVERYWHERE} for all of them"
        )
    if importlib.util.find_spec("flask_wtf") is None:
        raise WorkspaceError(
            f"--host {host}: needs MLflow's login, which is not installed; run "
            "`pip install 'mlflow[auth]'`"
        )
    return SharedAccess(host, _require_password(ask() if password is None else password))


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _require_password(password: str) -> str:
    """Return a password if it can be used; errors do not quote it.

    Raises:
        ConfigError: If it is too short or holds other characters than ASCII.
    """
    if len(password) < MIN_PASSWORD_LENGTH or not (password.isascii() and password.isprintable()):
        raise ConfigError(
            f"the password for --host ({PASSWORD_VARIABLE}) has {len(password)} characters; use at "
            f"least {MIN_PASSWORD_LENGTH}, letters, digits and signs of ASCII only"
        )
    return password
