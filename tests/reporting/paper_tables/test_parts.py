import pytest

from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.paper_tables.parts import PaperPart, find_part


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("table2", PaperPart("table", 2)),
        ("table9", PaperPart("table", 9)),
        ("figure3", PaperPart("figure", 3)),
        ("Table 2", None),
        ("table2-c4", None),
        ("matched-params", None),
    ],
)
def test_names(home, name, part):
    assert find_part(name, home / "sweeps", home / "runs") == part


@pytest.mark.parametrize("name", ["table12", "table0", "figure7"])
def test_unknown_numbers_list_what_exists(home, name):
    with pytest.raises(ConfigError, match="use table1 to table9, figure1 to figure6, or a sweep"):
        find_part(name, home / "sweeps", home / "runs")


def test_a_sweep_of_the_name_takes_precedence(home, make_writer):
    make_writer(name="table2").write()
    assert find_part("table2", home / "sweeps", home / "runs") is None
    (home / "sweeps").mkdir()
    (home / "sweeps/table12.toml").write_text("", encoding="utf-8")
    assert find_part("table12", home / "sweeps", home / "runs") is None
