"""A real Slurm cluster of one node, this machine, for tests: started and stopped by them."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from switchhead_lab.tracking.mlflow_server import free_port

N_CPUS = 4  # as Slurm sees it, whatever the machine has
REQUEUE_SECONDS = 240.0
"""Slurm holds requeued jobs back for two minutes."""
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_SETTINGS = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
"""


@dataclass(frozen=True)
class Slurm:
    """A running cluster.

    Attributes:
        folder: Its settings, state and logs.
    """

    folder: Path

    def call(self, *command: str) -> str:
        """Run a command of Slurm and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, env=environment(self.folder))
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the states of the jobs that Slurm knows, by job id."""
        lines = self.call("squeue", "--noheader", "--array", "--states=all", "--format=%i %T")
        return dict(line.split() for line in lines.splitlines())

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        texts = [path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(text[-3000:] for text in texts)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": _PATH, "SLURM_CONF": str(folder / "slurm.conf")}


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """Run a cluster in the block."""
    # Sockets have short paths.
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.log").open("wb") as log:
            daemons.append(
                subprocess.Popen(
                    command, stdout=log, stderr=log, env=environment(folder), cwd=folder
                )
            )

    try:
        _write_settings(folder)
        start(
            *("munged", "--foreground", "--force", f"--socket={folder}/munge.socket"),
            *(f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid"),
            f"--seed-file={folder}/munge.seed",
        )
        start("slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        start("slurmd", "-D", "-f", f"{folder}/slurm.conf")
        cluster = Slurm(folder)
        _wait_until_idle(cluster)
        yield cluster
    finally:
        if len(daemons) == 3:
            with contextlib.suppress(AssertionError):
                Slurm(folder).call("scancel", "--user=root", "--signal=KILL")
                Slurm(folder).call("scancel", "--user=root")
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _write_settings(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    values = {
        "host": socket.gethostname().partition(".")[0],
        "folder": folder,
        "controller_port": free_port(56800),
        "node_port": free_port(56900),
        "n_cpus": N_CPUS,
    }
    (folder / "slurm.conf").write_text(_SETTINGS.format(**values))


def _wait_until_idle(cluster: Slurm) -> None:
    deadline = time.monotonic() + 60.0
    while True:
        try:
            if "idle" in cluster.call("sinfo", "--noheader", "--format=%T"):
                return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, cluster.logs()
        time.sleep(0.5)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A running cluster; Debian's packages `slurm-wlm` and `munge` have the programs."""
    if missing := [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]:
        # Optional system packages that pip cannot install, named in CONTRIBUTING.md.
        pytest.skip(f"{missing[0]} is not installed (Debian: apt-get install slurm-wlm munge)")
    if os.geteuid():
        # slurmd starts each job as its user, which only root may do.
        pytest.skip("Slurm's daemons need root")
    with running_slurm() as found:
        yield found
