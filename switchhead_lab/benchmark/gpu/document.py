"""The generated section of kernels/README.md: the command's parts, and results of recorded runs."""

from pathlib import Path

from switchhead_lab.benchmark.gpu.plan import MINUTES, PARTS
from switchhead_lab.benchmark.gpu.tables import SHORT_TABLES, failures, state, title
from switchhead_lab.benchmark.gpu.tables_of_parts import Results
from switchhead_lab.benchmark.table import markdown_table
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.bench_record import read_gpu_runs

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
"""Lines around the section, which `--document` writes; never edited by hand."""


def update_document(path: Path, reports_dir: Path) -> None:
    """Rewrite the section.

    Args:
        path: The document.
        reports_dir: Folder of all reports; recorded runs are in `gpu/*/gpu.json`.

    Raises:
        RecordError: If the document has no such section, or a recorded run is damaged.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise RecordError(f"{path}: needs one line {BEGIN} and one line {END}")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(path, f"{before}{BEGIN}\n{section(reports_dir)}\n{END}{after}")


def section(reports_dir: Path) -> str:
    """Return the section: the parts, then the main results of every recorded run."""
    plan = [(part.name, part.title, f"{part.seconds:.0f}") for part in PARTS]
    total = sum(part.seconds for part in PARTS)
    lines = [
        f"Parts run in this order and share the default {MINUTES:g} minutes: {total:.0f} s, the "
        "rest is for writing results. Time that a part leaves unused goes to the parts after it.",
        "",
        *markdown_table(("part", "checks or measures", "seconds"), plan),
        "",
    ]
    runs = list(read_gpu_runs(reports_dir))
    for path, results in runs:
        lines += _run_lines(results, path.parent)
    if not runs:
        lines.append("No run on a GPU is recorded.")
    return "\n".join(lines).rstrip()


def _run_lines(results: Results, folder: Path) -> list[str]:
    page = f"{folder.parents[1].name}/gpu/{folder.name}/gpu.md"
    time = results["provenance"]["time"][:16].replace("T", " ")
    lines = [f"### {folder.name}: {title(results)}", ""]
    lines += [f"Measured on {time} UTC. All figures: `{page}`.", ""]
    for part in results["parts"]:
        lines.append(f"- {part['name']}: {state(part)}.")
        lines += [f"  - {failure}" for failure in failures(part)]
    lines.append("")
    for part in results["parts"]:
        if part["name"] in SHORT_TABLES:
            headings, rows = SHORT_TABLES[part["name"]](part["cases"])
            lines += [*markdown_table(headings, rows), ""] if rows else []
    return lines
