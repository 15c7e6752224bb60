"""The section of kernels/README.md about GPUs, generated from the plan and from recorded runs."""

from pathlib import Path

from switchhead_lab.benchmark.gpu.plan import MINUTES, PARTS
from switchhead_lab.benchmark.gpu.short_tables import SHORT_TABLES
from switchhead_lab.benchmark.gpu.tables import failures, markdown_table, state, title
from switchhead_lab.errors import RecordError
from switchhead_lab.tracking.atomic import write_text
from switchhead_lab.tracking.bench_record import read_gpu_runs

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
"""Lines between which the section is; written by `--document`, never by hand."""


def update_document(path: Path, reports_dir: Path) -> None:
    """Write the section anew.

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
    """Return the section: the plan, then the figures of every recorded run."""
    plan = [(part.name, part.title, f"{part.seconds:.0f}") for part in PARTS]
    total = sum(part.seconds for part in PARTS)
    lines = [
        f"The parts, in their order, with their shares of {MINUTES:g} minutes ({total:.0f} s, and "
        "some for writing results); what one leaves goes to those after it:",
        "",
        *markdown_table(("part", "finds out", "seconds"), plan),
        "",
    ]
    runs = list(read_gpu_runs(reports_dir))
    for path, results in runs:
        folder = path.parent.relative_to(reports_dir.parent)
        lines += [f"### {title(results)}", "", f"All figures: `{folder}/gpu.md`.", ""]
        for part in results["parts"]:
            lines.append(f"- {part['name']}: {state(part)}.")
            lines += [f"  - {failure}" for failure in failures(part)]
        lines.append("")
        for part in results["parts"]:
            if part["name"] in SHORT_TABLES:
                headings, rows = SHORT_TABLES[part["name"]](part["cases"])
                lines += [*markdown_table(headings, rows), ""] if rows else []
    lines += [] if runs else ["No run on a GPU is recorded.", ""]
    return "\n".join(lines).rstrip()
