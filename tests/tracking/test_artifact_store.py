"""Object stores behind one interface; faults become one line."""

import sys
import uuid
from pathlib import Path

import pytest

from switchhead_lab.errors import ConfigError, StorageError
from switchhead_lab.tracking.artifact_store import ArtifactStore


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    place = f"{tmp_path}/store" if request.param == "file" else uuid.uuid4().hex
    return ArtifactStore(f"{request.param}://{place}")


def test_what_is_put_is_listed_and_read(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("three")
    store.put({"runs/x/a": tmp_path / "a", "runs/y/b": tmp_path / "b"})
    assert store.sizes("runs") == {"runs/x/a": 3, "runs/y/b": 5}
    assert store.names("runs") == ["x", "y"]
    assert store.names("runs/x") == ["a"]
    store.get({"runs/y/b": tmp_path / "copy"})
    assert (tmp_path / "copy").read_text() == "three"
    store.write("runs/x/a", b"other")
    assert store.read("runs/x/a") == b"other"
    store.check()


def test_what_is_missing_is_no_fault(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.sizes("runs") == {}
    assert store.names("runs") == []
    assert store.read("runs/x") is None
    with pytest.raises(FileNotFoundError):
        store.get({"runs/x": tmp_path / "copy"})


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = ArtifactStore(f"file://{tmp_path}/file/store")
    with pytest.raises(StorageError, match="cannot be written: .*; check `artifacts_uri`") as error:
        store.check()
    assert "\n" not in str(error.value)


def test_contents_that_change_on_the_way_are_found(store: ArtifactStore, monkeypatch) -> None:
    monkeypatch.setattr(store, "read", lambda _key: b"other")
    with pytest.raises(StorageError, match="has other contents"):
        store.check()


def test_unknown_protocols_and_missing_packages_are_named(monkeypatch) -> None:
    with pytest.raises(ConfigError, match="nonsense:// is unknown; use s3://bucket/prefix"):
        ArtifactStore("nonsense://bucket/x")

    def missing(_protocol: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(sys.modules["fsspec.registry"], "get_filesystem_class", missing)
    with pytest.raises(ConfigError, match=r"s3:// needs a package .*switchhead_lab\[s3\]"):
        ArtifactStore("s3://bucket/x")
