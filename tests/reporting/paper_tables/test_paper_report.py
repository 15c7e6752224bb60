import csv
import hashlib
import json
import shutil

import latex_structure
import pytest

from switchhead_lab.reporting.paper_tables.paper_report import write_paper_table
from switchhead_lab.views.paper_table import paper_table


@pytest.fixture
def write(home, sweeps_dir):
    def make(number=2, size=""):
        return write_paper_table(number, sweeps_dir, home / "runs", home / "reports", size)

    return make


def contents(report):
    return {path.name: path.read_bytes() for path in report.folder.iterdir()}


def rows(report):
    with (report.folder / "table.csv").open(encoding="utf-8") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def test_files_and_folder_carry_the_size(write, fill, home):
    fill("paper/table2-wikitext103")
    report = write()
    assert report.folder == home / "reports" / "paper" / "table2-pocket"
    assert report.files == (
        "report.md",
        *("absolute.md", "ratios.pdf", "ratios.png", "ratios.svg", "run.md", "table-notes.tex"),
        *("table.csv", "table.md", "table.tex", "provenance.json"),
    )
    assert write(size="large").folder.name == "table2-large"


@pytest.mark.draws_figures
def test_the_same_records_give_the_same_bytes(write, fill):
    fill("paper/table2-wikitext103")
    first = contents(write())
    assert contents(write()) == first


def test_every_row_has_the_paper_s_values_ours_and_their_differences(write, fill):
    fill("paper/table2-wikitext103", {"dense": [20.0], "switchhead": [18.0, 20.0]})
    row = rows(write())["wikitext103 47M: switchhead, 2 heads"]
    numbers = {key: float(row[key]) for key in row if row[key].replace(".", "").isdigit()}
    assert (numbers["paper_loss"], numbers["loss_mean"]) == (12.31, 19.0)  # of two seeds
    assert numbers["paper_relative_loss"] == pytest.approx(12.31 / 12.32)
    relative = float(row["relative_loss"])
    assert relative == pytest.approx(18.0 / 20.0)  # of the seed that both models have
    assert float(row["relative_loss_difference"]) == pytest.approx(18 / 20 - 12.31 / 12.32)
    assert numbers["paper_macs"] == 170e6
    assert numbers["paper_relative_macs"] == pytest.approx(170 / 453)
    assert float(row["relative_macs_difference"]) == pytest.approx(
        numbers["relative_macs"] - 170 / 453
    )
    assert (row["corpus"], row["dataset"], row["model"]) == ("sotu", "wikitext103", "switchhead")
    assert (row["n_seeds"], row["n_seeds_declared"]) == ("2", "3")


def test_absolute_values_compare_at_the_papers_size_only(write, fill):
    fill("paper/table2-wikitext103", size="pocket")
    report = write(size="pocket")
    row = rows(report)["wikitext103 47M: switchhead, 2 heads"]
    assert (row["loss_difference"], row["macs_difference"]) == ("", "")
    assert any("are not comparable with the paper's" in line for line in report.caption)
    fill("paper/table2-wikitext103", size="small")
    report = write(size="small")
    row = rows(report)["wikitext103 47M: switchhead, 2 heads"]
    assert float(row["loss_difference"]) == pytest.approx(19.0 - 12.31)
    assert abs(float(row["macs_difference"])) < 0.5e6
    assert not any("not comparable" in line for line in report.caption)


def test_our_corpus_is_beside_the_papers_data_set(write, fill):
    fill("paper/table2-c4")
    report = write()
    (line,) = (
        line
        for line in (report.folder / "table.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| c4 47M: switchhead")
    )
    assert line.split("|")[2].strip() == "sotu"
    assert any(
        "c4 47M: table2-c4-pocket" in line and "corpus sotu" in line for line in report.caption
    )


def test_rows_without_runs_are_loud(write, fill):
    report = write()
    assert len(report.incomplete) == 7
    assert report.incomplete[0] == (
        "INCOMPLETE: c4 47M: no result for switchhead, 2 heads; transformer, 10 heads; "
        "transformer, 2 heads: run `lab sweep paper/table2-c4 --size pocket`."
    )
    assert (report.folder / "table.md").read_text(encoding="utf-8").count("not run") == 21 * 4
    assert "INCOMPLETE: 21 of 21 rows have no result; see the notes." in (
        report.folder / "table.tex"
    ).read_text(encoding="utf-8")


def test_deleting_a_run_turns_its_cells_into_gaps(write, fill, home):
    fill("paper/table2-wikitext103")
    label = "wikitext103 47M: switchhead, 2 heads"
    assert rows(write())[label]["loss_mean"] == "19.0"
    shutil.rmtree(next(home.glob("runs/*switchhead*")))
    report = write()
    row = rows(report)[label]
    assert (row["loss_mean"], row["relative_loss"]) == ("", "")
    assert any("seed 0 missing: no run directory" in line for line in report.incomplete)


def test_missing_seeds_are_named(write, fill):
    fill("paper/table2-wikitext103", overrides=["baseline.seeds=[0,1]"])
    report = write()
    assert any(
        "transformer, 10 heads has 1 of 2 seeds (seed 1 never started)" in line
        for line in report.incomplete
    )
    assert "1 of 2" in (report.folder / "table.md").read_text(encoding="utf-8")


def test_changed_and_other_declarations_are_named(write, fill):
    fill("paper/table2-wikitext103", overrides=["training.n_steps=1000"])
    fill("matched-params", {"dense": [20.0]})
    caption = "\n".join(write().caption)
    assert "is not what its file declares (training.n_steps=1000); `lab sweep" in caption
    assert "also recorded, and not shown: matched-params-pocket-" not in caption
    fill("paper/table2-wikitext103")
    caption = "\n".join(write().caption)
    assert "is not what its file declares" not in caption
    assert caption.count("also recorded, and not shown: matched-params-pocket-") == 1
    assert "table2-wikitext103-pocket-" in caption.partition("not shown")[2]


def test_enwik8_is_compared_in_bits(write, fill):
    fill("paper/table2-enwik8", validation_bits_per_byte=1.5)
    row = rows(write())["enwik8 41M: switchhead, 2 heads"]
    assert (row["metric"], row["loss_mean"], row["paper_loss"]) == ("bits per byte", "1.5", "1.1")


@pytest.mark.parametrize("number", [4, 8])
def test_zero_shot_accuracies_are_missing_and_named(write, number):
    report = write(number)
    assert report.incomplete[-1].startswith(
        "INCOMPLETE: zero-shot accuracies (LAMBADA, BLiMP, CBT) are not measured"
    )
    text = (report.folder / "absolute.md").read_text(encoding="utf-8")
    assert "not measured" in text


@pytest.mark.parametrize("number", range(1, 10))
def test_every_table_is_written_from_nothing(write, number):
    report = write(number)
    latex_structure.check_table((report.folder / "table.tex").read_text(encoding="utf-8"))
    assert bool(report.incomplete) == (number != 9)
    n_rows = {1: 12, 2: 21, 3: 12, 4: 8, 5: 6, 6: 17, 7: 10, 8: 8, 9: 21}
    assert len(report.as_data()["rows"]) == n_rows[number]


@latex_structure.needs_latex
@pytest.mark.parametrize("number", [2, 5, 9])
def test_table_tex_compiles(write, fill, tmp_path, number):
    fill("paper/table2-wikitext103")
    folder = write(number).folder
    table, notes = (
        (folder / name).read_text(encoding="utf-8") for name in ("table.tex", "table-notes.tex")
    )
    pdf = latex_structure.compile_table(table, notes, tmp_path, latex_structure.ENGINES[0])
    assert pdf.read_bytes().startswith(b"%PDF")


def test_provenance_has_the_runs_of_every_cell_and_the_hash_of_every_file(write, fill):
    fill("paper/table2-wikitext103")
    fill("paper/table2-enwik8")
    report = write()
    provenance = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))
    assert len(provenance["sweeps"]) == 2
    measured = ("loss", "macs", "memory_floats")
    for cell in provenance["cells"]:
        is_ours = cell["column"].removeprefix("relative_").removesuffix("_difference") in measured
        assert bool(cell["runs"]) == (is_ours and cell["value"] is not None), cell
        if cell["column"] == "loss" and cell["value"] is not None:
            assert list(cell["values"]) == cell["runs"]
    for name, digest in provenance["files"].items():
        assert hashlib.sha256((report.folder / name).read_bytes()).hexdigest() == digest


def test_narrow_tables_name_the_metrics_of_their_results(write, fill):
    assert write(1).table.terminal_note == ""  # the heading has it
    note = "loss: perplexity; in enwik8 41M: bits per character"
    assert write(2).table.terminal_note == note
    fill("paper/table2-enwik8")
    shown = paper_table(write(2).table)
    assert f"\n{note} (ours: bits per byte)" in shown.title
    assert [heading for heading in shown.columns if "loss" in heading]
