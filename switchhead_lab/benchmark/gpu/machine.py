"""Part: the machine, and the upper bounds that other figures are compared with."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import torch

from switchhead_kernels.bench import Effort, interleave, matmul_peak
from switchhead_kernels.bench.timing import warm_up
from switchhead_lab.benchmark.gpu.case import Case, Context, Findings
from switchhead_lab.benchmark.gpu.product_timing import best_matmul

# Several times larger than any cache.
_COPIED_BYTES = 2**31
_NVIDIA_SMI = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"


def cases(context: Context) -> list[Case]:
    """List the cases."""
    return [
        Case("facts", partial(_facts, context)),
        Case("matmul", partial(_matmul, context)),
        Case("copy", partial(_copy, context)),
        Case("launch", partial(_launch, context)),
    ]


def _facts(context: Context) -> Iterator[Findings]:
    import triton  # type: ignore[import-untyped]

    yield {
        "device_name": context.setup.facts["device_name"],
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
        "host": context.setup.facts,
    }
    if context.device.type == "cuda":
        properties = torch.cuda.get_device_properties(context.device)
        yield {
            "capability": f"{properties.major}.{properties.minor}",
            "n_multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            **_driver_facts(),
        }


def _driver_facts() -> Findings:
    """Return what `nvidia-smi` reports; empty where it is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={_NVIDIA_SMI}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")]
    names = [name.replace(".", "_") for name in _NVIDIA_SMI.split(",")]
    return {"nvidia_smi": dict(zip(names, values, strict=False))}


def _matmul(context: Context) -> Iterator[Findings]:
    """Measure the best square matmul of each type, in GFLOP/s."""
    for name in ("bf16", "fp16", "fp32"):
        yield {name: best_matmul(name, context)}
    if context.device.type == "cuda":
        with _tf32():
            yield {"tf32": matmul_peak(torch.float32, context.device)}


def _copy(context: Context) -> Iterator[Findings]:
    """Measure the bandwidth of a copy on the device; reads and writes both count."""
    n_bytes = 2**16 if context.is_dry_run else _COPIED_BYTES
    source = torch.empty(n_bytes // 4, device=context.device).normal_()
    target = torch.empty_like(source)
    seconds = _fastest(lambda: target.copy_(source), context)
    yield {"gigabytes_per_second": 2e-9 * n_bytes / seconds}


def _launch(context: Context) -> Iterator[Findings]:
    """Time the launch of an almost empty kernel, eagerly and in a graph."""
    x = torch.zeros(1, device=context.device)
    n_launches = 1000

    def launch() -> None:
        for _ in range(n_launches):
            x.zero_()

    timed = warm_up(launch, context.device, is_capturable=False)
    yield {"eager_microseconds": 1e6 * min(timed() for _ in range(5)) / n_launches}
    if context.device.type == "cuda":
        yield {"graph_microseconds": 1e6 * _fastest(lambda: x.zero_(), context)}


def _fastest(call: Callable[[], object], context: Context) -> float:
    timed = {"": warm_up(call, context.device)}
    return min(interleave(timed, Effort())[""])


@contextlib.contextmanager
def _tf32() -> Iterator[None]:
    """Let float32 matmuls round their inputs to 10 bits."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
