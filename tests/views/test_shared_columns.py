from switchhead_lab.terminal_table import Table
from switchhead_lab.views.shared_columns import share_columns


def test_equal_columns_move_into_the_title() -> None:
    table = Table(
        "models", ("model", "role", "k", "d_head"), [["a", "x", "2", "4"], ["b", "x", "2", "8"]], 2
    )
    shared = share_columns(table)
    assert shared.title == "models\nthe same for all: role x, k 2"
    assert shared.columns == ["model", "d_head"]
    assert shared.rows == [["a", "4"], ["b", "8"]]
    assert shared.n_text_columns == 1


def test_a_single_row_and_leading_columns_stay() -> None:
    single = Table("models", ("model", "k"), [["a", "2"]])
    assert share_columns(single) is single
    same = Table("models", ("model", "convention", "k"), [["a", "x", "1"], ["b", "x", "2"]], 2)
    assert share_columns(same, n_kept=2) is same
