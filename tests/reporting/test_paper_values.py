from pathlib import Path

import pytest
from shipped_sweeps import SHIPPED

from switchhead_lab.config.sweep import PaperRow
from switchhead_lab.config.sweep_files import read_sweep_file
from switchhead_lab.errors import ConfigError
from switchhead_lab.paper.figures import parse_count
from switchhead_lab.reporting.contents import read_contents
from switchhead_lab.reporting.paper_values import find_comparison, paper_grid
from switchhead_lab.reporting.report_data import read_report_data

PAPER_SWEEPS = [path for path in SHIPPED if path.stem.startswith("table")]


@pytest.mark.parametrize(
    ("text", "count"),
    [("170.4M", 170.4e6), ("2.0G", 2e9), ("0.8M", 8e5), ("5k", 5000.0), ("12", 12.0)],
)
def test_parse_count(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "1.M", "-1M", "1 M", "1m", "1.2.3G"])
def test_parse_count_refuses_invalid_counts(text):
    with pytest.raises(ValueError, match="not a count"):
        parse_count(text)


def test_rows_are_distinguished_by_heads():
    paper = find_comparison(PaperRow(table=2, dataset="wikitext103", params=47))
    assert (paper.dense.n_heads, paper.dense.loss) == (10, 12.32)
    assert (paper.head_matched.n_heads, paper.head_matched.loss) == (2, 12.73)
    assert (paper.switchhead.macs, paper.switchhead.memory) == ("170M", "0.8M")
    assert paper.metric == "perplexity"


def test_table_without_head_matched_model():
    paper = find_comparison(PaperRow(table=1, dataset="wikitext103", params=47))
    assert paper.dense.n_heads == 10
    assert paper.head_matched is None


def test_rope_names_and_bits_per_character():
    rope = find_comparison(PaperRow(table=7, dataset="c4", params=45))
    assert rope.switchhead.model == "switchhead-rope"
    assert find_comparison(PaperRow(table=2, dataset="enwik8", params=41)).metric == (
        "bits/character"
    )


def test_table_without_heads_or_costs():
    paper = find_comparison(PaperRow(table=4, dataset="c4", params=47))
    assert paper.switchhead.loss == 22.53
    assert (paper.switchhead.macs, paper.switchhead.n_heads) == ("", None)


@pytest.mark.parametrize("table", range(1, 9))
def test_unknown_rows_are_an_error_that_lists_the_known(table):
    with pytest.raises(ConfigError, match=f"Table {table} has no rows"):
        find_comparison(PaperRow(table=table, dataset="wikitext104", params=47))


def test_the_papers_ratios_are_beside_ours(complete):
    record = complete.write()
    data = read_report_data(record, complete.runs_dir)
    grid = paper_grid(data, find_comparison(record.sweep.paper))
    rows = {row["model"]: row for row in grid.records()}
    best = rows["switchhead"]
    assert best["paper_relative_loss"] == pytest.approx(12.31 / 12.32)
    assert best["paper_relative_macs"] == pytest.approx(170 / 453)
    assert best["paper_relative_memory_floats"] == pytest.approx(0.8 / 3.5)
    ours = data.models[-1].costs.macs / data.baseline.costs.macs
    assert best["relative_macs"] == pytest.approx(ours)
    assert best["relative_validation_perplexity"] == pytest.approx(34.75 / 35.5)
    assert rows["dense-h2"]["paper_model"] == "transformer, 2 heads"
    assert rows["dense"]["paper_relative_loss"] == 1.0
    cells = dict(zip(grid.headings(), grid.cells()[-1], strict=True))
    assert cells["MACs: paper"].text == "170M"


ENWIK8 = {"table": 2, "dataset": "enwik8", "params": 41}


def test_bits_per_character_are_compared_with_bits_per_byte(make_writer) -> None:
    writer = make_writer(paper=ENWIK8, studies=None)
    for name, model, bits in (
        ("dense", writer.dense(), 1.5),
        ("dense-h2", writer.head_matched(), 1.6),
    ):
        writer.add(
            name,
            "baseline" if name == "dense" else "declared",
            model,
            0,
            35.0,
            validation_bits_per_byte=bits,
        )
    record = writer.write()
    data = read_report_data(record, writer.runs_dir)
    caption = read_contents(data, writer.runs_dir.parent / "reports").page.paper_caption
    assert caption.endswith("Results are bits/character in the paper and bits per byte here.")
    grid = paper_grid(data, find_comparison(record.sweep.paper))
    row = grid.records()[1]
    assert row["paper_relative_loss"] == pytest.approx(1.13 / 1.10)
    assert row["relative_validation_bits_per_byte"] == pytest.approx(1.6 / 1.5)
    assert "bits per byte: ours" in grid.headings()


def test_a_sweep_names_the_rows_of_its_other_models() -> None:
    named = {
        "switchhead": {"model": "switchhead-mac-matched", "params": 63},
        "other": {"model": "none of the paper's"},
    }
    wanted = PaperRow.model_validate({"table": 4, "dataset": "c4", "params": 47, "models": named})
    paper = find_comparison(wanted, ["dense", "switchhead"])
    assert paper.named["switchhead"].loss == 21.18
    with pytest.raises(ConfigError, match=r"paper.models.other: Table 4 has no row"):
        find_comparison(wanted, ["other"])


@pytest.mark.parametrize("path", PAPER_SWEEPS, ids=lambda path: path.stem)
def test_every_row_that_a_paper_sweep_names_is_printed(path: Path) -> None:
    file = read_sweep_file(path)
    for size in file.sizes:
        sweep = file.resolve(size)
        assert sweep.paper is not None
        names = [model.name for model in sweep.models]
        paper = find_comparison(sweep.paper, names)
        assert paper.dense is not None
        # MoA, SwitchAll and others have their own rows.
        plain = {model.name for model in sweep.models if model.kind != "moa"}
        assert set(names) - plain <= set(paper.named)
