"""The findings of `lab doctor` about the machine, its kernels and the workspace."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from threadpoolctl import threadpool_info

import switchhead_lab
from switchhead_kernels.native.build import KernelUnavailableError, cache_dir, find_compiler
from switchhead_lab.config.redaction import mask_address
from switchhead_lab.config.workspace import Workspace
from switchhead_lab.openmp import SPIN_COUNT, SPIN_VARIABLE, settings_author, wait_settings
from switchhead_lab.training.compute_setup import ComputeSetup, describe_backend, prepare_setup

_PACKAGES = ("torch", "mlflow", "optuna", "pandas", "matplotlib", "sentencepiece")


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        subject: What was examined.
        finding: What was found.
        advice: What to do about it; empty if nothing is wrong.
    """

    subject: str
    finding: str
    advice: str = ""


def diagnose(workspace: Workspace) -> list[Finding]:
    """Examine the machine and workspace as a run would find them, without training.

    Raises:
        ConfigError: If the device set in lab.toml is not available.
    """
    setup = prepare_setup(workspace.settings.device, "auto")
    return [*_software(), *_machine(setup), *_kernels(setup), *_folders(workspace)]


def _software() -> Iterator[Finding]:
    yield Finding("switchhead_lab", switchhead_lab.__version__)
    yield Finding("Python", platform.python_version())
    for package in _PACKAGES:
        yield Finding(package, version(package))
    try:
        yield Finding("triton", version("triton"))
    except PackageNotFoundError:
        yield Finding("triton", "not installed")


def _machine(setup: ComputeSetup) -> Iterator[Finding]:
    facts = setup.facts
    yield Finding("device", setup.description)
    fast = setup.precision == "bf16"
    yield Finding(
        "precision", setup.precision, "" if fast else "bf16 would be slow here, so fp32 is used"
    )
    if setup.device.type != "cpu":
        return
    yield Finding("threads", str(facts["n_threads"]))
    yield waiting_finding(os.environ, openmp_runtimes())
    yield Finding("instructions", str(facts["cpu_capability"]))
    kept = facts["keeps_large_blocks"]
    yield Finding(
        "large tensors",
        "reused" if kept else "mapped again for each allocation",
        "" if kept else "the C library has no mallopt; training is slower",
    )
    yield Finding(
        "float32 matmuls", "oneDNN" if facts["onednn_fp32_matmul"] else "PyTorch's default"
    )


def waiting_finding(environment: Mapping[str, str], runtimes: Sequence[str]) -> Finding:
    """Return how OpenMP threads wait for each other, and who set it.

    Args:
        environment: Environment variables.
        runtimes: Names of the loaded OpenMP libraries.
    """
    subject = "waiting threads"
    found = ", ".join(f"{key}={value}" for key, value in wait_settings(environment).items())
    author = settings_author(environment)
    if author == "user":
        return Finding(subject, f"{found} (set by the user)")
    if author == "":
        return Finding(
            subject,
            "the OpenMP default (PyTorch was imported before switchhead_lab)",
            f"import switchhead_lab first, or set {SPIN_VARIABLE}={SPIN_COUNT}: beside another "
            "busy process, training is many times slower",
        )
    if runtimes and not any(name.startswith("libgomp") for name in runtimes):
        return Finding(
            subject,
            f"{found} (set by the lab), without effect on {', '.join(runtimes)}",
            "if training is slow beside another process, set KMP_BLOCKTIME, which it reads",
        )
    return Finding(subject, f"{found} (set by the lab)")


def openmp_runtimes() -> list[str]:
    """Return the file names of the loaded OpenMP libraries."""
    loaded = threadpool_info()
    return sorted(Path(lib["filepath"]).name for lib in loaded if lib["user_api"] == "openmp")


def _kernels(setup: ComputeSetup) -> Iterator[Finding]:
    compiler = find_compiler() or "none"
    dtypes = (torch.float32, torch.bfloat16)
    for dtype in dtypes:
        backend = describe_backend(setup.device, dtype)
        is_fused = backend.startswith(("cpu", "triton"))
        lacks_compiler = compiler == "none" and setup.device.type == "cpu" and not is_fused
        advice = "install g++ for the fused kernel" if lacks_compiler else ""
        yield Finding(f"expert projections, {str(dtype).removeprefix('torch.')}", backend, advice)
    yield Finding("other passes", str(setup.facts["fused_passes"]))
    yield Finding("C++ compiler", compiler)
    yield Finding("kernel cache", describe_kernel_cache())


def describe_kernel_cache() -> str:
    """Return the cache folder of CPU kernels, or why there is none."""
    try:
        return str(cache_dir())
    except KernelUnavailableError as error:
        return f"none: {error}"


def _folders(workspace: Workspace) -> Iterator[Finding]:
    yield Finding("workspace", str(workspace.root))
    for name in ("data_dir", "runs_dir", "reports_dir"):
        folder: Path = getattr(workspace, name)
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        writable = os.access(existing, os.W_OK)
        advice = "" if writable else f"make {existing} writable, or set {name} in lab.toml"
        yield Finding(name, str(folder), advice)
    yield Finding("tracking_uri", mask_address(workspace.tracking_uri))
    yield Finding("study_storage", mask_address(workspace.study_storage))
