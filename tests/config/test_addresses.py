import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from switchhead_lab.config.addresses import absolute_address, database_path
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError

NASTY_FOLDERS = ["what?now", "a#b", "100%20", "two words", "a&b=c", "a@b:c", "ä+;ö", "it's"]


@pytest.mark.parametrize("name", NASTY_FOLDERS)
def test_databases_stay_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    import sqlalchemy

    root = tmp_path / name
    root.mkdir()
    address = absolute_address("sqlite:///lab.db", root)
    assert database_path(address) == root / "lab.db"
    assert absolute_address(address, Path("/elsewhere")) == address
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    engine.dispose()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")] == [
        Path(name) / "lab.db"
    ]
    with closing(sqlite3.connect(root / "lab.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]


def test_queries_are_kept_and_are_not_part_of_the_file() -> None:
    address = absolute_address("sqlite:///runs/lab.db?timeout=3", Path("/srv"))
    assert address == "sqlite:////srv/runs/lab.db?timeout=3"
    assert database_path(address) == Path("/srv/runs/lab.db")


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:/a/b%253Fc.db?uri=true", Path("/a/b?c.db")),
        ("sqlite:///file:x?mode=memory&uri=true", None),
        ("sqlite+pysqlite:////a/b.db", Path("/a/b.db")),
        ("postgresql://host/name", None),
        ("http://tracker:5000", None),
        ("none", None),
    ],
)
def test_database_path_of_an_address(address: str, path: Path | None) -> None:
    assert database_path(address) == path


def test_a_database_in_memory_stays_there() -> None:
    assert database_path(absolute_address("sqlite:///:memory:", Path("/srv"))) is None


@pytest.mark.parametrize("key", ["tracking_uri", "study_storage"])
@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://lab:S3@cret@127.0.0.1:9/x",
        "postgresql+psycopg://lab:pw@h:S3cret/x",
        "postgresql+psycopg:/lab:S3cret@h/x",
        "S3cret",
        "",
    ],
)
def test_ambiguous_database_addresses_are_rejected_without_being_quoted(
    tmp_path: Path, key: str, address: str
) -> None:
    (tmp_path / "lab.toml").write_text(f'{key} = "{address}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"lab\.toml: {key}: .*percent-encode") as error:
        find_workspace(tmp_path, environment={})
    assert "cret" not in str(error.value)


@pytest.mark.parametrize("address", ["http://u:S3/cret@h:80", "http://tok/cret@h", "http://"])
def test_ambiguous_server_addresses_are_rejected_without_being_quoted(
    tmp_path: Path, address: str
) -> None:
    (tmp_path / "lab.toml").write_text(f'tracking_uri = "{address}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="not a server address like http") as error:
        find_workspace(tmp_path, environment={})
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        *("s3://key:xyzzy@bucket/lab", "s3://xyzzy@bucket", "s3://bucket/lab?token=xyzzy"),
        *("s3://bucket:xyzzy/lab", "s3://bucket/lab#xyzzy", "simplecache::s3://xyzzy/lab"),
        *("http://xyzzy/lab", "xyzzy", "s3://", "file://xyzzy/lab", "S3://xyzzy/lab"),
    ],
)
def test_stores_with_secrets_are_rejected_without_being_quoted(
    tmp_path: Path, address: str
) -> None:
    (tmp_path / "lab.toml").write_text(f'artifacts_uri = "{address}"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lab\.toml: artifacts_uri: ") as error:
        find_workspace(tmp_path, environment={})
    assert "xyzzy" not in str(error.value)
    if "@" in address:
        assert "credentials come from the environment or from ~/.aws" in str(error.value)


@pytest.mark.parametrize("address", ["s3://bucket/lab/", "file:///a@b/c:d", "memory://x"])
def test_stores_are_accepted(tmp_path: Path, address: str) -> None:
    (tmp_path / "lab.toml").write_text(f'artifacts_uri = "{address}"\n', encoding="utf-8")
    settings = find_workspace(tmp_path, environment={}).settings
    assert settings.artifacts_uri == address.rstrip("/")


def test_passwords_reach_the_database_as_written(tmp_path: Path) -> None:
    from sqlalchemy import make_url

    text = 'study_storage = "postgresql+psycopg://lab:S3/c+r%40et@h/x"\n'
    (tmp_path / "lab.toml").write_text(text, encoding="utf-8")
    address = find_workspace(tmp_path, environment={}).study_storage
    assert make_url(address).password == "S3/c+r@et"
    assert "/c" not in address.partition("@")[0].partition("://")[2]
