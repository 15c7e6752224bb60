"""Made-up results of the GPU command on a card."""

import json
from pathlib import Path
from typing import Any

from switchhead_lab.benchmark.gpu.configs import timed_models
from switchhead_lab.benchmark.gpu.journal import Event, Journal
from switchhead_lab.benchmark.gpu.results import collect_results
from switchhead_lab.tracking.provenance import Provenance

FACTS = {
    "device_name": "Test Card 80GB",
    "torch": "2.11.0",
    "triton": "3.6.0",
    "cuda": "13.0",
    "host": {"precision": "bf16"},
    "nvidia_smi": {"driver_version": "580.1"},
}

PROVENANCE = Provenance({"git": {"commit": "0" * 40}, "time": "2026-01-01T00:00:00+00:00"}, b"")


def step(ms: float, gigabytes: float) -> dict[str, Any]:
    return {
        "ms": ms,
        "ms_quartiles": [ms, ms],
        "n_steps": 10,
        "tokens_per_second": 1e6 / ms,
        "gflop": 1000.0,
        "peak_memory_bytes": int(gigabytes * 1e9),
        "micro_batch_size": 64,
    }


def product(name: str, ms: float, peak_fraction: float) -> dict[str, Any]:
    times = {"median_ms": ms, "peak_fraction": peak_fraction}
    error = None if name == "mm" else 1e-3
    timed = {"forward": times, "forward_backward": times}
    return {"name": name, "status": "timed", "error": error, **timed}


def write_journal(path: Path) -> Journal:
    """Write a run with one product, the steps of the small size, and three failures."""
    journal = Journal(path)
    done = [("machine", "facts", FACTS), ("machine", "matmul", {"bf16": 500_000.0})]
    problem = {"projection": "value", "top_k": 2, "dtype": "bf16"}
    problem |= {"shape": {"d_model": 412, "d_head": 76}}
    candidates = [product("mm", 0.1, 0.8), product("triton", 0.2, 0.4)]
    problems = [{"problem": problem, "candidates": candidates}]
    done.append(("products", "412/76 k=2 bf16", {"problems": problems}))
    for number, timed in enumerate(timed_models("small", "xl", is_dry_run=False)):
        eager, captured = step(100.0 - 30 * number, 20.0 - 5 * number), step(50.0, 10.0)
        findings = {**timed.origin, "eager": eager, "captured": captured}
        done.append(("steps", timed.name, findings))
    for part, case, findings in done:
        journal.add(Event(part, case, "done", 1.0, findings=findings))
    errors = {"value, random": {"errors": {"output": 0.5}, "repeats": False}, "tolerance": 8e-3}
    journal.add(Event("kernels", "412/76 bf16", "wrong", 2.0, "tolerance 8e-03", errors))
    journal.add(Event("models", "MoA, RoPE, bf16", "crashed", 3.0, "SIGSEGV"))
    journal.add(Event("tiles", "", "skipped", reason="no time left"))
    journal.add(Event("compiled", "small xl dense", "planned"))
    return journal


def write_run(reports_dir: Path, card: str = "test-card", **changes: Any) -> dict[str, Any]:
    """Write a recorded run below a folder of reports; return its results."""
    folder = reports_dir / "gpu" / card
    folder.mkdir(parents=True)
    journal = write_journal(folder / "journal.jsonl")
    results = collect_results(journal, PROVENANCE, is_dry_run=False) | changes
    (folder / "gpu.json").write_text(json.dumps(results), encoding="utf-8")
    return results
