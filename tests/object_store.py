"""Object stores for tests: a real S3 server of their own, and a workspace on a second host."""

import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from switchhead_lab.config.workspace import Workspace, find_workspace

SECRET = "xyzzy-secret-42"
BUCKET = "lab-runs"


class S3Server:
    """A server on a free port of this machine, whose objects are in memory."""

    def __init__(self) -> None:
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        _, port = self._server.get_host_and_port()
        self.address = f"http://127.0.0.1:{port}"
        # Servers of one process share their objects.
        urllib.request.urlopen(f"{self.address}/moto-api/reset", data=b"").close()
        self._client = boto3.client("s3", endpoint_url=self.address)
        self._client.create_bucket(Bucket=BUCKET)

    def objects(self) -> dict[str, bytes]:
        """Return the contents of all objects, by key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def stop(self) -> None:
        self._client.close()
        self._server.stop()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A running server with a bucket; its address and credentials are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = S3Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    yield server
    server.stop()


def with_store(workspace: Workspace, address: str) -> Workspace:
    """Return a workspace after writing an object store into its lab.toml."""
    path = workspace.root / "lab.toml"
    path.write_text(f'{path.read_text()}artifacts_uri = "{address}"\n')
    return find_workspace(workspace.root, environment={})


def second_host(workspace: Workspace, root: Path) -> Workspace:
    """Return a workspace with the same settings, without data and runs."""
    root.mkdir()
    (root / "lab.toml").write_text((workspace.root / "lab.toml").read_text())
    return find_workspace(root, environment={})
