"""Addresses of databases, servers and object stores: checked when lab.toml is read.

SQLAlchemy is imported on first use, so that commands without a database start fast.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy import URL

UI_HOST, UI_PORT = "127.0.0.1", 5000
"""Where `lab ui` serves MLflow, unless the port is taken or another one is given."""
MLFLOW_SCHEMA, OPTUNA_SCHEMA = "mlflow", "optuna"
"""Schemas of MLflow and Optuna in the PostgreSQL database of a workspace."""
_SQLITE = "sqlite"
_PSYCOPG = "postgresql+psycopg"
_STORE = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
_LOCAL_STORES = ("file", "local")
_ENCODE = "percent-encode special characters of user name and password (@ is %40, / is %2F)"


def is_server(address: str) -> bool:
    """Return whether an address is a server's rather than a database's."""
    return address.lower().startswith(("http://", "https://"))


def require_http_address(address: str) -> None:
    """Reject an invalid or ambiguous HTTP address, with an error that does not quote it.

    Raises:
        ValueError: If it has no host, an invalid port, or an "@" after the host.
    """
    try:
        parts = urlsplit(address)
        is_valid = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(f"not a server address like http://tracker:5000; {_ENCODE}")


def require_database_address(address: str) -> None:
    """Reject a database address that SQLAlchemy misreads, with an error that does not quote it.

    Raises:
        ValueError: If it is not an address, or part of a password would be read as the host.
    """
    if address.startswith("sqlite:///"):
        return  # holds no password or host
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ValueError(
            "not a database address like sqlite:///runs/lab.db or "
            f"postgresql+psycopg://user:password@host/name; {_ENCODE}"
        ) from None
    if "@" in f"{url.host or ''}{url.database or ''}":
        raise ValueError(f'an "@" follows the host; {_ENCODE}')


def require_postgresql_address(address: str) -> None:
    """Reject an address that is not a PostgreSQL database's, with an error that does not quote it.

    Raises:
        ValueError: If it is not one, has another driver than psycopg, options, or no name.
    """
    require_database_address(address)
    from sqlalchemy import make_url

    url = make_url(address)
    if url.drivername not in ("postgresql", _PSYCOPG) or not url.database:
        raise ValueError(
            "not a PostgreSQL database like postgresql://user@host/name; for SQLite files leave it "
            "out"
        )
    if "options" in url.query:
        raise ValueError("options are not supported; the lab uses them to choose its schemas")


def require_store_address(address: str) -> None:
    """Reject an address of an object store that may hold a secret, without quoting it.

    Raises:
        ValueError: If it is not like s3://bucket/prefix, or has a user, password or options.
    """
    found = _STORE.fullmatch(address)
    if found is None or not found[2].strip("/") or found[1] in ("http", "https"):
        raise ValueError(
            "not an object store like s3://bucket/prefix or file:///shared/folder; leave it out to "
            "keep run directories on their hosts"
        )
    is_local, place = found[1] in _LOCAL_STORES, found[2]
    if is_local and not place.startswith("/"):
        raise ValueError("a folder needs an absolute path, like file:///shared/folder")
    if any(mark in place for mark in ("?", "#", "::", *(() if is_local else ("@", ":")))):
        raise ValueError(
            "an address has no user, password, port or options: credentials come from the "
            "environment or from ~/.aws, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
            "the address of another server from AWS_ENDPOINT_URL"
        )


def with_schema(address: str, schema: str) -> str:
    """Return the address of a PostgreSQL database whose tables are looked up in a schema.

    Args:
        address: The database.
        schema: The schema; empty for the database's default.
    """
    from sqlalchemy import make_url

    url = make_url(address).set(drivername=_PSYCOPG)
    if schema:
        url = url.update_query_dict({"options": f"-csearch_path={schema}"})
    return _spell(url)


def schema_of(address: str) -> str | None:
    """Return the schema that `with_schema` put into an address; None if there is none."""
    if not address.startswith(_PSYCOPG):
        return None
    from sqlalchemy import make_url

    options = make_url(address).query.get("options", "")
    prefix, _, schema = str(options).partition("-csearch_path=")
    return schema if schema and not prefix else None


def absolute_address(address: str, root: Path) -> str:
    """Return a database address as SQLAlchemy spells it, SQLite paths made absolute.

    Args:
        address: Address of a database.
        root: Folder that paths are relative to; its name may hold any character.
    """
    from sqlalchemy import make_url

    url = make_url(address)
    path = database_path(address)
    if path is not None and url.database is not None and not url.database.startswith("file:"):
        url = url.set(database=str(root / path.expanduser()))
    return _spell(url)


def file_address(path: Path) -> str:
    """Return the address of a SQLite file; its path may hold any character."""
    from sqlalchemy import URL

    return _spell(URL.create(_SQLITE, database=str(path)))


def _spell(url: "URL") -> str:
    text = url.render_as_string(hide_password=False)
    if text.startswith("sqlite:///") and "%" in text:
        # Without an explicit driver, MLflow also creates the folder of the undecoded path.
        text = url.set(drivername="sqlite+pysqlite").render_as_string(hide_password=False)
    return text


def database_path(address: str) -> Path | None:
    """Return the file of a SQLite address; None for an in-memory database or any other address."""
    if not address.startswith(_SQLITE):
        return None
    from sqlalchemy import make_url

    url = make_url(address)
    if url.get_backend_name() != _SQLITE or url.database in (None, "", ":memory:"):
        return None
    assert url.database is not None, "checked above"
    if url.database.startswith("file:"):
        path = unquote(urlsplit(url.database).path)
        return Path(path) if path and url.query.get("mode") != "memory" else None
    return Path(url.database)
