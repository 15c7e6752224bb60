"""`python -m switchhead_lab.benchmark.gpu`: the command."""

import argparse
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from switchhead_lab.benchmark.gpu.checkout import ROOT
from switchhead_lab.benchmark.gpu.conductor import Conductor
from switchhead_lab.benchmark.gpu.journal import Journal
from switchhead_lab.benchmark.gpu.plan import MINUTES, PARTS
from switchhead_lab.benchmark.gpu.tables_of_parts import Results
from switchhead_lab.benchmark.gpu.workers import run_share
from switchhead_lab.errors import ConfigError, LabError
from switchhead_lab.tracking.atomic import make_directory

_EXAMPLE = "Example: python -m switchhead_lab.benchmark.gpu --out reports/gpu/h100 --minutes 8"


def main() -> int:
    """Run the command line; return an exit code."""
    arguments = _parse()
    try:
        if arguments.document:
            return _document()
        return _conduct(arguments)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m switchhead_lab.benchmark.gpu",
        description="Check and time everything that runs on a GPU, within a time limit. DIR holds "
        "the results so far, even if the run is interrupted: gpu.json, gpu.md, journal.jsonl and "
        "log.txt.",
        epilog=_EXAMPLE,
    )
    names = ", ".join(part.name for part in PARTS)
    parser.add_argument("--out", type=Path, metavar="DIR", help="an empty folder")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"time limit (default {MINUTES:g})"
    )
    parser.add_argument("--parts", default="", help=f"run only these, comma-separated: {names}")
    parser.add_argument(
        "--dry-run", action="store_true", help="run everything on the CPU, in tiny sizes"
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="run nothing; write recorded runs (reports/gpu/*) into kernels/README.md",
    )
    arguments = parser.parse_args()
    if arguments.out is None and not arguments.document:
        parser.error("the following arguments are required: --out")
    return arguments


def _conduct(arguments: argparse.Namespace) -> int:
    from switchhead_lab.benchmark.gpu.results import collect_results, write_results
    from switchhead_lab.benchmark.gpu.tables import summary
    from switchhead_lab.tracking.provenance import collect_provenance

    started = time.monotonic()
    # Every run starts with the machine: tables and reports need its figures.
    wanted = {PARTS[0].name, *_wanted(arguments.parts)}
    parts = [part for part in PARTS if part.name in wanted]
    if not arguments.minutes > 0:
        raise ConfigError(f"--minutes {arguments.minutes:g}: use more than 0")
    out = make_directory(arguments.out.resolve())
    journal = Journal(out / "journal.jsonl")
    if journal.path.exists():
        raise ConfigError(f"--out {arguments.out}: holds an earlier run; choose an empty folder")

    command = ["python", "-m", "switchhead_lab.benchmark.gpu", *sys.argv[1:]]
    provenance = collect_provenance(ROOT, data_manifest=None, device=None, command=command)

    def write() -> Results:
        results = collect_results(journal, provenance, is_dry_run=arguments.dry_run)
        write_results(out, results)
        return results

    # Workers have sessions of their own, so they would outlive a killed command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    deadline = started + 60 * arguments.minutes
    _set_environment(is_dry_run=arguments.dry_run)
    work = partial(run_share, out, arguments.dry_run)
    conductor = Conductor(journal, out / "log.txt", work, arguments.dry_run, deadline, _say)
    try:
        conductor.run(parts, after_each=write)
    except BaseException:
        if journal.path.exists():
            write()
        raise
    results = write()
    print("\n".join(summary(results)))  # noqa: T201
    return 0 if results["is_right"] else 1


def _document() -> int:
    from switchhead_lab.benchmark.gpu.document import update_document

    path = ROOT / "kernels" / "README.md"
    update_document(path, ROOT / "reports")
    _say(f"written: {path}")
    return 0


def _wanted(names: str) -> list[str]:
    known = [part.name for part in PARTS]
    wanted = [name.strip() for name in names.split(",") if name.strip()] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(f"--parts {unknown[0]}: no such part; parts: {', '.join(known)}")
    return wanted


def _set_environment(*, is_dry_run: bool) -> None:
    """Set this process's environment, which workers inherit before they import anything."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    os.environ |= {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    if is_dry_run:
        os.environ |= {
            "TRITON_INTERPRET": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
