"""Offline commands resolve no host names, so proxies and dead name servers cause no delay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_sweep import SWEEP

pytestmark = pytest.mark.thorough

NO_NAMES = """
import os, socket
def refuse(host, *arguments, **options):
    with open(os.environ["LOOKED_UP"], "a") as file:
        file.write(f"{host}\\n")
    raise socket.gaierror("no name may be looked up")
socket.getaddrinfo = socket.gethostbyname = refuse
"""
RUN_ALL = """
import json, sys
from switchhead_lab.__main__ import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["lab", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{command}: exit code {end.code}")
"""
COMMANDS = [
    ["data", "prepare", "words.txt", "--name", "words", "--tokenizer", "byte"],
    ["match", "tiny"],
    ["budget", "tiny"],
    ["sweep", "tiny"],
    ["sweep", "list"],
    ["report", "tiny"],
    ["runs", "list"],
    ["runs", "sync"],
    ["doctor"],
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("offline")
    (root / "lab.toml").write_text('device = "cpu"\n')
    (root / "sweeps").mkdir()
    (root / "sweeps/tiny.toml").write_text(SWEEP)
    (root / "words.txt").write_text("".join(f"river stone lamp {n % 7}\n" for n in range(900)))
    (root / "site").mkdir()
    (root / "site/sitecustomize.py").write_text(NO_NAMES)
    return root


def run(root: Path, *commands: list[str]) -> None:
    """Run commands one after another in a process that may resolve no name."""
    path = os.pathsep.join(filter(None, [str(root / "site"), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "LOOKED_UP": str(root / "looked-up")}
    program = [sys.executable, "-c", RUN_ALL, json.dumps(commands)]
    done = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_host_name_is_resolved(root: Path) -> None:
    run(root, *COMMANDS)
    assert not (root / "looked-up").exists()


def test_a_resolution_would_be_recorded(root: Path) -> None:
    program = "import socket; socket.getaddrinfo('somewhere', 80)"
    environment = {
        **os.environ,
        "PYTHONPATH": str(root / "site"),
        "LOOKED_UP": str(root / "seen"),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.returncode == 1
    assert (root / "seen").read_text() == "somewhere\n"
