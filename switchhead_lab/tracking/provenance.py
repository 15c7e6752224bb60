"""Provenance of a run: code, versions, machine, command, data and device."""

import functools
import importlib.metadata
import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from switchhead_lab.config.redaction import mask_passwords, mask_word
from switchhead_lab.tracking.git_state import SOURCE_PATHS, read_git_state

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
# An explicit list: the whole environment would include tokens and passwords.
ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "LAB_HOME",
    "LOCAL_RANK",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "SLURM_JOB_ID",
    "TRITON_INTERPRET",
    "WORLD_SIZE",
)


@dataclass(frozen=True)
class Provenance:
    """Provenance of a run.

    Attributes:
        values: Plain data: git, versions, host, time, argv, environment, data_manifest,
            device.
        uncommitted_diff: Uncommitted changes to source files, new ones included, for `git apply`;
            empty for a clean tree or without a repository.
    """

    values: dict[str, Any]
    uncommitted_diff: bytes


def collect_provenance(
    project_root: Path,
    *,
    data_manifest: Mapping[str, Any] | None,
    device: Mapping[str, Any] | None,
    command: Sequence[str],
    source_paths: Sequence[str] = SOURCE_PATHS,
    addresses: Sequence[str] = (),
) -> Provenance:
    """Collect the provenance of a run.

    Nothing secret is collected: only listed environment variables, and passwords and tokens in
    addresses are masked, in the diff too.

    Args:
        project_root: Folder of the code, inside its git repository if it has one.
        data_manifest: Manifest of the data; None without data.
        device: Facts about the device.
        command: Command line that started the run.
        source_paths: Files and folders of the project whose changes make it dirty.
        addresses: Addresses whose secrets are masked wherever they appear.
    """
    git, diff = read_git_state(project_root, source_paths)
    # Latin-1 maps every byte to a character and back, regardless of the files' encodings.
    masked = mask_passwords(diff.decode("latin-1"), *addresses).encode("latin-1")
    if masked != diff:
        git["reason"] = "passwords are masked in the diff, so it may not apply"
    values = {
        "git": git,
        "versions": package_versions(),
        "host": _host(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": [mask_word(word, *addresses) for word in _portable(command)],
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "data_manifest": dict(data_manifest) if data_manifest is not None else None,
        "device": dict(device) if device is not None else None,
    }
    return Provenance(values, masked)


def package_versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that runs depend on."""
    return dict(_versions(PACKAGES))


def _portable(command: Sequence[str]) -> Iterator[str]:
    """Yield a command line without the folder of its program, which says nothing elsewhere."""
    program = Path(command[0]) if command else Path("lab")
    if program.name == "__main__.py":
        yield from ("python", "-m", program.parent.name)
    else:
        yield program.name
    yield from command[1:]


@functools.cache
def _versions(packages: Sequence[str]) -> Mapping[str, str | None]:
    """Return the versions of Python and of packages, which take some 20 ms to look up."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in packages:
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
    """Return the CPUs available to this process; containers and schedulers restrict them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # unknown on this platform
        return None
