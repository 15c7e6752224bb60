import csv
import hashlib
import json
import shutil
import statistics

import pytest

from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.tracking.sweep_record import sweep_id


def _write(writer, folder="reports"):
    reports_dir = writer.runs_dir.parent / folder
    return write_report(Selection(writer.write(), ()), writer.runs_dir, reports_dir)


def _csv(report, name):
    with (report.folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _sidecar(report):
    return json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))


def _printed(grid):
    return [
        dict(zip(grid.headings(), (cell.text for cell in cells), strict=True))
        for cells in grid.cells()
    ]


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_are_those_promised(complete):
    report = _write(complete)
    assert report.folder.name == sweep_id(complete.sweep)
    assert set(report.files) == {path.name for path in report.folder.iterdir()}
    assert report.files[0] == "report.md"
    assert "paper.csv" in report.files
    assert "candidates.md" in report.files


@pytest.mark.draws_figures
def test_same_records_give_the_same_bytes_anywhere(complete):
    first = _contents(_write(complete).folder)
    assert _contents(_write(complete).folder) == first
    moved = complete.runs_dir.parent / "moved"
    shutil.copytree(complete.runs_dir, moved)
    complete.runs_dir = moved
    assert _contents(_write(complete, "elsewhere").folder) == first


def test_numbers_are_recomputed_from_the_run_directories(complete):
    report = _write(complete)
    rows = {row["model"]: row for row in _csv(report, "table.csv")}
    by_model = {}
    for member in complete.members:
        if member.role != "candidate":
            path = complete.runs_dir / member.run_name / "result.json"
            name = "switchhead" if member.role == "best" else member.model
            result = json.loads(path.read_text(encoding="utf-8"))
            by_model.setdefault(name, []).append({**result, "seed": member.seed})
    assert set(rows) == set(by_model)
    by_model["switchhead"] = by_model["switchhead"][1:]  # the first selected it
    for name, results in by_model.items():
        row = rows[name]
        for quantity in (
            "validation_perplexity",
            "test_perplexity",
            "ms_per_step",
            "tokens_per_second",
        ):
            values = [result[quantity] for result in results]
            assert float(row[f"{quantity}_mean"]) == pytest.approx(statistics.mean(values), 1e-12)
            if len(values) > 1:
                std = statistics.stdev(values)
                assert float(row[f"{quantity}_std"]) == pytest.approx(std, 1e-12)
            else:
                assert row[f"{quantity}_std"] == ""
        ours = [result["validation_perplexity"] for result in results]
        seeds = [result["seed"] for result in results]
        dense = [result["validation_perplexity"] for result in by_model["dense"]]
        dense = [dense[seed] for seed in seeds]
        ratio = statistics.mean(ours) / statistics.mean(dense)  # over the same seeds
        assert float(row["relative_validation_perplexity"]) == pytest.approx(ratio)
        assert int(row["n_seeds"]) == len(results)
        assert int(row["n_seeds_declared"]) == len(results) + (name == "switchhead")
        assert row["convention"] == "published"
        assert int(row["n_parameters"]) == results[0]["n_parameters"]


def test_macs_and_memory_follow_the_formulas_of_a_dense_layer(complete):
    row = _csv(_write(complete), "table.csv")[0]
    heads, width, seq_len, context, d_model = 8, 8, 32, 2, 64
    projections = 4 * seq_len * width * d_model + 2 * context * seq_len * width * d_model
    assert int(row["macs"]) == heads * (projections + 2 * context * seq_len**2 * width)
    maps = 2 * context * seq_len**2
    assert int(row["memory_floats"]) == heads * (
        4 * seq_len * width + maps + 2 * context * seq_len * width
    )


def test_candidates_hold_every_outcome(complete):
    rows = {row["trial"]: row for row in _csv(_write(complete), "candidates.csv")}
    assert [rows[key]["state"] for key in "0123"] == [
        "finished",
        "pruned",
        "infeasible",
        "finished",
    ]
    assert rows["1"]["validation_perplexity"] == ""
    assert rows["1"]["reason"] == "worse than the median | step 50"
    assert float(rows["3"]["validation_perplexity"]) == 36.5
    assert (rows["2"]["macs"], rows["2"]["n_heads"]) == ("", "2")


def test_every_cell_names_its_runs_and_every_file_its_hash(complete):
    report = _write(complete)
    sidecar = _sidecar(report)
    finished = {row["model"] for row in _csv(report, "table.csv")}
    assert {cell["table"] for cell in sidecar["cells"]} == {
        *("table", "costs", "paper", "candidates"),
    }
    for cell in sidecar["cells"]:
        for run in cell["runs"]:
            assert (complete.runs_dir / run).is_dir()
            assert run in sidecar["runs"]
        is_declared = cell["column"] in (
            *("model", "role", "n_seeds_declared", "paper_model", "family", "matched"),
            *("convention", "selection_seed"),
        )
        is_paper = cell["column"].startswith("paper_")
        if cell["table"] != "candidates" and cell["value"] is not None and not is_paper:
            assert cell["runs"] or is_declared
    assert finished == {cell["row"] for cell in sidecar["cells"] if cell["table"] == "table"}
    for name in set(report.files) - {"provenance.json"}:
        data = (report.folder / name).read_bytes()
        assert sidecar["files"][name] == hashlib.sha256(data).hexdigest()


def test_cell_holds_each_runs_value(complete):
    sidecar = _sidecar(_write(complete))
    (cell,) = (
        cell
        for cell in sidecar["cells"]
        if (cell["table"], cell["row"], cell["column"])
        == ("table", "dense", "validation_perplexity")
    )
    assert sorted(cell["values"].values()) == [35.0, 35.5, 36.0]
    assert {sidecar["runs"][run]["seed"] for run in cell["values"]} == {0, 1, 2}
    assert sidecar["commits"] == ["c" * 40]
    assert sidecar["data_digests"] == ["d" * 64]


def test_missing_seed_is_marked_everywhere(complete):
    complete.forget("dense", 2)
    report = _write(complete)
    assert len(report.incomplete) == 1
    for name in ("table.md", "table.tex", "report.md"):
        text = (report.folder / name).read_text(encoding="utf-8")
        assert "INCOMPLETE: dense has 2 of 3 seeds" in text
        assert "35.25 " in text
        assert "[2 of 3 seeds]" in text
    ratios = [row["validation perplexity / dense"] for row in _printed(report.table)]
    assert ratios[0].endswith("[2 of 3 seeds]")
    assert all(ratio.endswith("[dense 2 of 3 seeds]") for ratio in ratios[1:])
    row = _csv(report, "table.csv")[0]
    assert (row["n_seeds"], row["n_seeds_declared"]) == ("2", "3")


def test_model_without_a_run_is_missing_not_zero(make_writer):
    writer = make_writer()
    writer.fill_models()
    writer.forget("switchhead-declared", 0)
    report = _write(writer)
    row = _csv(report, "table.csv")[2]
    for key in ("validation_perplexity_mean", "ms_per_step_mean", "interleaved_ms_per_step"):
        assert row[key] == ""
    assert "– [0 of 1 seeds]" in (report.folder / "table.md").read_text("utf-8")  # noqa: RUF001


def test_step_times_of_separate_runs_are_not_compared(complete):
    """Runs were timed separately, so their times are in the CSV file only."""
    report = _write(complete)
    assert not [key for key in _csv(report, "table.csv")[0] if "relative_ms" in key]
    assert not [heading for heading in report.table.headings() if "ms/step" in heading]
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "ms/step is omitted" in page
    assert "`lab bench step` times the models in turn, with the sweep and the overrides" in page


def test_stale_optional_files_are_removed(make_writer):
    writer = make_writer()
    writer.fill_models()
    assert "paper.md" in _write(writer).files
    plain = make_writer(studies=None, paper=None)
    plain.members = writer.members
    report = _write(plain)
    names = {path.name for path in report.folder.iterdir()}
    assert not names & {"paper.md", "paper.csv", "candidates.md", "candidates.csv"}
    assert names == set(report.files)


def test_report_of_a_sweep_that_has_just_started(make_writer):
    report = _write(make_writer())
    assert len(report.incomplete) == 5
    assert "none yet" in (report.folder / "report.md").read_text(encoding="utf-8")


def test_page_shows_table_figures_paper_and_candidates(complete):
    text = (_write(complete).folder / "report.md").read_text(encoding="utf-8")
    for part in (
        "## Comparison",
        "(perplexity-vs-attention-macs.png)",
        "(perplexity-vs-model-macs.png)",
        "(perplexity-vs-attention-memory.png)",
        "## Costs by every convention",
        "Table 2, wikitext103, 47M parameters, as printed",
        "## Candidates of the search",
        r"worse than the median \| step 50",
        "published convention",
    ):
        assert part in text
