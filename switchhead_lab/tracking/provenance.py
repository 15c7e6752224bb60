"""Where a run comes from: code, versions, machine, command, data and device."""

import importlib.metadata
import os
import platform
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from switchhead_lab.config.redaction import mask_passwords, mask_word

PACKAGES = (
    "switchhead_lab",
    "torch",
    "triton",
    "numpy",
    "mlflow",
    "optuna",
    "sentencepiece",
    "safetensors",
    "pydantic",
)
# Named one by one: the whole environment would take tokens and passwords with it.
ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "LAB_HOME",
    "LOCAL_RANK",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "SLURM_JOB_ID",
    "TRITON_INTERPRET",
    "WORLD_SIZE",
)
GIT_OVERRIDES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
GIT_TIMEOUT_SECONDS = 10.0
MAX_UNTRACKED_LISTED = 500


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from.

    Attributes:
        values: Plain data: git, versions, host, time, argv, environment, data_manifest,
            device.
        uncommitted_diff: `git diff HEAD`; empty for a clean tree or without a repository.
    """

    values: dict[str, Any]
    uncommitted_diff: str


class _GitError(Exception):
    """Git is missing, refuses or takes too long."""


def collect_provenance(
    project_root: Path,
    *,
    data_manifest: Mapping[str, Any] | None,
    device: Mapping[str, Any] | None,
    command: Sequence[str],
    addresses: Sequence[str] = (),
) -> Provenance:
    """Collect what is needed to say later where a run came from.

    Nothing secret is collected: of the environment only known names, and passwords and tokens
    of addresses are masked, in the diff as well.

    Args:
        project_root: Folder of the code, inside its git repository if it has one.
        data_manifest: What the data were prepared from; None if there are none.
        device: Facts about the device, from whoever opened it.
        command: Command line that started the run.
        addresses: Addresses in use; their secrets are masked wherever they appear.
    """
    git, diff = _git_state(project_root)
    values = {
        "git": git,
        "versions": _versions(),
        "host": _host(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": [mask_word(word, *addresses) for word in command],
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "data_manifest": dict(data_manifest) if data_manifest is not None else None,
        "device": dict(device) if device is not None else None,
    }
    return Provenance(values, mask_passwords(diff, *addresses))


def _git_state(folder: Path) -> tuple[dict[str, Any], str]:
    """Return facts about the checkout and its uncommitted diff; without git, the reason."""
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        commit = _git(top, "rev-parse", "--verify", "HEAD").strip()
        branch = _git(top, "rev-parse", "--abbrev-ref", "HEAD").strip()
        listing = _git(top, "ls-files", "--others", "--exclude-standard", "-z")
        # No external drivers: they are programs, and what they print cannot be applied again.
        diff = _git(top, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    except _GitError as error:
        return {"commit": None, "reason": str(error)}, ""
    untracked = [name for name in listing.split("\0") if name]
    state = {
        "commit": commit,
        "branch": None if branch == "HEAD" else branch,
        "dirty": bool(diff or untracked),
        "n_untracked": len(untracked),
        "untracked": untracked[:MAX_UNTRACKED_LISTED],
    }
    return state, diff


def _git(folder: Path, *arguments: str) -> str:
    """Run git without prompts, hooks, locks or monitors, so that it can neither hang nor write."""
    options = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    environment = {
        # Inside a git hook these name the hook's repository, whatever -C says.
        **{name: value for name, value in os.environ.items() if name not in GIT_OVERRIDES},
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise _GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git {arguments[0]} took longer than {GIT_TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise _GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        message = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _GitError(message[0] if message else f"git {arguments[0]} failed")
    return done.stdout.decode("utf-8", "replace")


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _host() -> dict[str, Any]:
    return {
        "hostname": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "n_cpus": os.cpu_count(),
        "n_cpus_usable": _n_cpus_usable(),
        "memory_bytes": _memory_bytes(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _n_cpus_usable() -> int | None:
    """Return the CPUs this process may run on, which containers and schedulers restrict."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # the platform does not tell
        return None
