"""An object store, as the lab uses it: the only importer of fsspec.

fsspec is imported on first use. Credentials are its own business and that of the libraries below
it: they come from the environment or their own files, and no address of the lab holds any.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from switchhead_lab.config.redaction import mask_passwords
from switchhead_lab.errors import ConfigError, LabError, StorageError, reason_of

_CHECK_FILE = "lab-check.txt"
# The same at every host: checks at the same time do not disturb each other.
_CHECK_TEXT = b"written by `lab init` and `lab doctor`\n"
# An address without an answer costs seconds, not the minutes of the libraries' own defaults.
_S3_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,
    "config_kwargs": {
        "connect_timeout": 5,
        "read_timeout": 60,
        "retries": {"max_attempts": 2},
    },
}
_LOCAL_OPTIONS = {"auto_mkdir": True}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    **{"s3": _S3_OPTIONS, "s3a": _S3_OPTIONS},
    **{"file": _LOCAL_OPTIONS, "local": _LOCAL_OPTIONS},
}
_EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Extras of this package by protocol."""


class ArtifactStore:
    """Objects below an address, by keys: relative paths with forward slashes.

    Args:
        address: `artifacts_uri` of lab.toml.

    Raises:
        ConfigError: If the protocol is unknown, or its package is not installed.
        StorageError: If the store cannot be opened.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        protocol = address.partition("://")[0]
        _require_protocol(protocol)
        from fsspec.core import url_to_fs

        with self._reported("opened"):
            # Not the cached instance: credentials or the server's address may have changed.
            options = {"skip_instance_cache": True, **_OPTIONS.get(protocol, {})}
            self._files, self._root = url_to_fs(address, **options)

    def where(self, key: str) -> str:
        """Return the address of an object, for messages."""
        return f"{self.address}/{key}"

    def put(self, files: Mapping[str, Path]) -> None:
        """Upload files, several at a time if the store allows it.

        Args:
            files: Local file by key.

        Raises:
            StorageError: If the store fails; some files may have been uploaded.
        """
        if files:
            with self._reported("written"):
                self._files.put([str(path) for path in files.values()], self._paths(files))

    def get(self, files: Mapping[str, Path]) -> None:
        """Download objects, several at a time if the store allows it.

        Args:
            files: Local file by key; its folder must exist.

        Raises:
            FileNotFoundError: If an object is missing.
            StorageError: If the store or the local disk fails.
        """
        if files:
            with self._reported("read"):
                self._files.get(self._paths(files), [str(path) for path in files.values()])

    def write(self, key: str, data: bytes) -> None:
        """Write an object.

        Raises:
            StorageError: If the store fails.
        """
        with self._reported("written"):
            self._files.pipe_file(self._path(key), data)

    def read(self, key: str) -> bytes | None:
        """Return the contents of an object; None if it does not exist.

        Raises:
            StorageError: If the store fails.
        """
        try:
            with self._reported("read"):
                return bytes(self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            return None

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the size of every object below a prefix, in bytes, by key.

        Raises:
            StorageError: If the store fails.
        """
        try:
            with self._reported("listed"):
                found = self._files.find(self._path(prefix), detail=True)
        except FileNotFoundError:  # the bucket itself; writing to it says so
            return {}
        return {self._key(path): int(entry["size"] or 0) for path, entry in found.items()}

    def names(self, prefix: str) -> list[str]:
        """Return the names of what is directly below a prefix; none if nothing is.

        Raises:
            StorageError: If the store fails.
        """
        try:
            with self._reported("listed"):
                found = self._files.ls(self._path(prefix), detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def check(self) -> None:
        """Write a tiny object and read it back.

        Raises:
            StorageError: If the store cannot be written or read.
        """
        self.write(_CHECK_FILE, _CHECK_TEXT)
        if self.read(_CHECK_FILE) != _CHECK_TEXT:
            raise StorageError(
                f"{self.where(_CHECK_FILE)}: was written, but has other contents when it is read; "
                "check the bucket and what is between it and this host"
            )

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"

    def _paths(self, keys: Mapping[str, Path]) -> list[str]:
        return [self._path(key) for key in keys]

    def _key(self, path: str) -> str:
        # Some file systems return paths with a leading slash, others without.
        return path.strip("/").removeprefix(self._root.strip("/")).strip("/")

    @contextlib.contextmanager
    def _reported(self, action: str) -> Iterator[None]:
        """Convert what the file system raises to one line; a missing object when reading passes."""
        try:
            yield
        except LabError:
            raise
        except Exception as error:
            if isinstance(error, FileNotFoundError) and action in ("read", "listed"):
                raise
            reason = mask_passwords(reason_of(error))
            raise StorageError(
                f"{self.address}: cannot be {action}: {reason}; check `artifacts_uri` in lab.toml, "
                "the credentials in the environment and whether the store can be reached"
            ) from None


def _require_protocol(protocol: str) -> None:
    """Check that there is a file system for a protocol.

    Raises:
        ConfigError: If there is none, or its package is not installed.
    """
    from fsspec.registry import get_filesystem_class

    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'switchhead_lab[{extra}]'" if extra else reason_of(error)
        raise ConfigError(
            f"artifacts_uri in lab.toml: {protocol}:// needs a package that is not installed: "
            f"{remedy}"
        ) from None
    except ValueError:
        raise ConfigError(
            f"artifacts_uri in lab.toml: {protocol}:// is unknown; use s3://bucket/prefix, "
            "file:///shared/folder, or another protocol of fsspec"
        ) from None
