"""Offline commands resolve no host names, so proxies and dead name servers cause no delay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import all_commands, is_group
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
# Words of commands: {run} and {other} are finished runs, by name.
RUN_ALL = """
import json, sys
from pathlib import Path
from switchhead_lab.__main__ import main
for command in json.loads(sys.argv[1]):
    names = sorted(path.parent.name for path in Path("runs").glob("*/result.json"))
    runs = dict(zip(("run", "other"), names))
    sys.argv = ["lab", *(word.format(**runs) for word in command)]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{sys.argv}: exit code {end.code}")
"""
COMMANDS = [
    ["init"],
    ["data", "prepare", "words.txt", "--name", "words", "--tokenizer", "byte"],
    ["data", "listops", "--n-train", "200", "--max-length", "20"],
    ["data", "digits"],
    ["data", "list"],
    ["match", "tiny"],
    ["budget", "tiny"],
    ["sweep", "run", "tiny"],
    ["sweep", "list"],
    ["sweep", "show", "tiny"],
    ["sweep", "status", "tiny"],
    ["sweep", "stop", "tiny"],
    ["sweep", "resume", "tiny"],
    ["sweep", "retry", "tiny", "--failed"],
    ["worker", "tiny"],
    ["report", "tiny"],
    ["runs", "list"],
    ["runs", "show", "{run}"],
    ["runs", "diff", "{run}", "{other}"],
    ["runs", "sync"],
    ["runs", "pack", "{run}", "--out", "run.tar.gz"],
    ["reproduce", "{run}", "--steps", "2"],
    ["verify", "tiny"],
    ["generate", "{run}", "--prompt", "river", "--n-tokens", "2"],
    ["score", "{run}", "words.txt"],
    ["export", "{run}", "--out", "exported"],
    ["eval", "run", "{run}", "--tasks", "pocket_last_word"],
    ["audit"],
    ["check-variant", "switchhead"],
    ["bench", "step", "tiny", "--rounds", "1"],
    ["bench", "checkpoint", "tiny", "--rounds", "1"],
    ["bench", "evaluation", "{run}", "--tasks", "pocket_last_word", "--rounds", "1"],
    ["bench", "kernels", "--shape", "16/8", "--k", "1", "--dtype", "fp32", "--rounds", "1"],
    ["doctor"],
]
# With the command that the other lines leave out, and why.
NOT_HERE = {
    "train": "the same training as a sweep's",
    "eval compare": "reads what `eval run` wrote",
    "lm-eval": "the harness's own command line",
    "runs import": "needs a second workspace; it reads files alone",
    "ui": "serves until it is stopped",
    "bench neighbour": "the same steps as `bench step`, in processes of their own",
    "bench workers": "the same steps on a sweep's record, in processes of its own",
    "bench peers": "needs an optional extra",
}


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


def test_every_command_is_run_or_left_out_for_a_reason() -> None:
    every = {" ".join(words) for words, one in all_commands().items() if not is_group(one)}
    listed = {" ".join(words[:2]) for words in COMMANDS} | {words[0] for words in COMMANDS}
    assert every - listed == NOT_HERE.keys()


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
