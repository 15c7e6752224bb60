"""Tables on terminals and in pipes: never wider than 80 columns, numbers never cut."""

import pytest

from switchhead_lab.terminal_table import Table, print_table

NAME = "sotu-pocket-switchhead-xl-lr0.001-0-1a2b3c4d"


def printed(table: Table, capsys: pytest.CaptureFixture[str], *, is_wide: bool = False) -> str:
    print_table(table, is_wide=is_wide)
    return capsys.readouterr().out


def widest(text: str) -> int:
    return max(len(line) for line in text.splitlines())


def numbers(n: int) -> tuple[tuple[str, ...], list[str]]:
    return tuple(f"figure {i}" for i in range(n)), [f"{10**7 + i:,}" for i in range(n)]


def test_a_narrow_table_is_printed_as_it_is(capsys) -> None:
    text = printed(Table("t", ("name", "n"), [["a", "1.50"], ["b", "12"]], optional=["n"]), capsys)
    assert text.splitlines()[2:] == ["name     n", "\u2500" * 10, "a     1.50", "b       12", ""]


def test_optional_columns_are_omitted_in_their_order_and_named(capsys) -> None:
    headings, cells = numbers(5)
    table = Table(
        "t", ("run", *headings), [[NAME, *cells]], optional=("figure 3", "figure 0", "figure 1")
    )
    text = printed(table, capsys)
    assert widest(text) <= 80
    assert "not shown: figure 3, figure 0; --wide prints all columns" in text
    assert [cell in text for cell in cells] == [False, True, True, False, True]
    wide = printed(table, capsys, is_wide=True)
    assert all(cell in wide for cell in (NAME, *cells))
    assert "not shown" not in wide
    assert widest(wide) > 80


def test_texts_are_wrapped_widest_first(capsys) -> None:
    value = "data/" + "long name " * 12
    text = printed(Table("t", ("field", "A", "B"), [["path", value, "short"]], 3), capsys)
    assert widest(text) <= 80
    assert text.count("long name") + text.count("long\n") >= 10
    assert "short" in text


def test_many_numbers_are_printed_in_parts_below_each_other(capsys) -> None:
    headings, cells = numbers(12)
    text = printed(Table("t", ("model", *headings), [["dense", *cells]]), capsys)
    assert widest(text) <= 80
    assert all(cell in text.split() for cell in cells)
    assert text.count("dense") == text.count("model") == 2


def test_titles_are_wrapped_only_if_they_hold_no_path(capsys) -> None:
    table = Table(f"{'a folder/' * 12}\nown line", ("n",), [["1"]])
    assert printed(table, capsys).startswith(f"{table.title}\n\n")
    print_table(table, is_narrow=True)
    text = capsys.readouterr().out
    assert widest(text) <= 80
    assert "\nown line\n\n" in text


def test_group_titles_stand_above_their_rows(capsys) -> None:
    table = Table("t", ("size", "n"), [["s", "1"], ["m", "2"]], group_titles={1: "b: " + "x " * 50})
    lines = printed(table, capsys).splitlines()
    assert lines[4] == "  s     1"
    assert lines[5].startswith("b: x x")
    assert lines[7] == "  m     2"
    assert max(map(len, lines)) <= 80


def test_a_wider_terminal_is_used(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    headings, cells = numbers(8)
    table = Table("t", ("model", *headings), [["dense", *cells]])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    assert printed(table, capsys).count("dense") == 1
    print_table(table, is_narrow=True)
    assert widest(capsys.readouterr().out) <= 80
    monkeypatch.setenv("COLUMNS", "40")
    assert 60 < widest(printed(table, capsys)) <= 80
