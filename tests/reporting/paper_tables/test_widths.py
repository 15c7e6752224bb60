from switchhead_lab.paper.figures import load_figures
from switchhead_lab.reporting.paper_tables.widths import read_widths

GRID = read_widths().grid


def test_every_printed_row_is_there():
    printed = [
        (row["d_head"], row["d_ff"])
        for block in load_figures()["hyperparameters"]
        for row in block["rows"]
    ]
    records = GRID.records()
    assert [(r["paper_d_head"], r["paper_d_ff"]) for r in records] == printed
    assert len({r["row"] for r in records}) == len(printed)


def test_the_rule_gives_every_d_head_and_d_ff_within_the_papers_rounding():
    for record in GRID.records():
        if record["d_head"] is None:
            assert "transformer" in record["row"]  # the baseline, which is given
            continue
        assert record["d_head_difference"] == 0
        if "switchall" not in record["row"]:
            assert abs(record["d_ff_difference"]) <= 6


def test_the_widths_of_switchall_are_those_of_equal_parameters():
    switchall = {r["row"]: r["d_ff"] for r in GRID.records() if "switchall" in r["row"]}
    assert list(switchall.values()) == [16 * 129, 32 * 130]
