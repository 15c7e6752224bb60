import shutil

import pytest

from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.paper_tables.assembly import assemble
from switchhead_lab.reporting.paper_tables.declarations import read_declarations
from switchhead_lab.reporting.paper_tables.printed import printed_table


@pytest.fixture
def assembled(home, sweeps_dir):
    def make(number=2, size=""):
        declarations = read_declarations(sweeps_dir, number)
        return assemble(printed_table(number), declarations, home / "runs", size)

    return make


def block(assembly, label):
    return next(one for one in assembly.blocks if one.block.label == label)


def test_rows_of_several_sweeps_are_in_printed_order(assembled, fill):
    fill("paper/table2-wikitext103")
    fill("paper/table2-enwik8")
    assembly = assembled()
    assert [row.printed.figures.position for row in assembly.rows] == list(range(21))
    filled = [row.printed.label for row in assembly.rows if not row.is_missing]
    assert filled == [
        "wikitext103 47M: switchhead, 2 heads",
        "wikitext103 47M: transformer, 10 heads",
        "wikitext103 47M: transformer, 2 heads",
        "enwik8 41M: transformer, 8 heads",
        "enwik8 41M: switchhead, 2 heads",
        "enwik8 41M: transformer, 2 heads",
    ]
    assert len(assembly.sources) == 2


def test_a_block_without_models_of_the_size_has_its_own(assembled):
    assembly = assembled(size="pocket")
    assert block(assembly, "c4 47M").size == "pocket"
    large = block(assembly, "c4 262M")
    assert large.size == "large"
    assert {row.command for row in large.rows} == {"lab sweep paper/table2-c4 --size large"}
    assert block(assembled(size="large"), "c4 47M").size == "small"


def test_a_row_that_the_size_lacks_names_the_command_of_another_size(assembled):
    commands = {row.printed.figures.label: row.command for row in assembled(1).rows[:6]}
    assert commands["moa, 4 heads"] == "lab sweep paper/table1-wikitext103 --size pocket"
    assert commands["moa, 8 heads"] == "lab sweep paper/table1-wikitext103 --size small"


def test_the_default_size_is_the_latest_that_was_run(assembled, fill):
    assert assembled().size == "pocket"  # declared as default
    fill("paper/table2-wikitext103", size="small", updated_at=3.0)
    fill("paper/table2-c4", size="pocket", updated_at=2.0)
    assert assembled().size == "small"


def test_an_unknown_size_is_refused(assembled):
    with pytest.raises(ConfigError, match=r"--size pockt: no sweep of Table 2 .* \"pocket\"\?"):
        assembled(size="pockt")


def test_the_declaration_of_the_file_comes_first(assembled, fill):
    shipped = fill("paper/table2-wikitext103", updated_at=1.0)
    fill(
        "paper/table2-wikitext103",
        {"dense": [30.0]},
        overrides=["training.n_steps=1000"],
        updated_at=9.0,
    )
    found = block(assembled(), "wikitext103 47M")
    assert [source.sweep for source in found.sources] == [shipped.sweep]
    assert len(found.sources[0].others) == 1


def test_a_changed_declaration_fills_rows_that_the_file_s_own_does_not(assembled, fill):
    fill("paper/table2-wikitext103", overrides=["data.corpus=mine", "training.n_steps=1000"])
    (source,) = block(assembled(), "wikitext103 47M").sources
    assert not source.is_as_declared
    assert source.changes() == ["data.corpus=mine", "training.n_steps=1000"]


def test_a_sweep_written_for_the_table_comes_before_others(assembled, fill):
    fill("matched-params", {"dense": [20.0]}, updated_at=9.0)
    found = block(assembled(), "wikitext103 47M")
    assert [source.sweep.name for source in found.sources] == ["matched-params"]
    fill("paper/table2-wikitext103", updated_at=1.0)
    found = block(assembled(), "wikitext103 47M")
    assert [source.sweep.name for source in found.sources] == ["table2-wikitext103"]
    assert [source.sweep.name for source in found.unused] == ["matched-params"]


def test_another_sweep_fills_what_the_table_s_own_lacks(assembled, fill):
    fill("paper/table2-wikitext103", {"dense": [20.0], "switchhead": [19.0]})
    fill("matched-params", {"dense": [30.0], "dense-head-matched": [33.0]})
    rows = {row.printed.figures.label: row for row in block(assembled(), "wikitext103 47M").rows}
    assert rows["transformer, 10 heads"].source.sweep.name == "table2-wikitext103"
    head_matched = rows["transformer, 2 heads"]
    assert head_matched.source.sweep.name == "matched-params"
    assert head_matched.ours.baseline.finished[0].member.seed == 0
    assert head_matched.ours.baseline.statistics(head_matched.ours.quality.validation).mean == 30.0


def test_a_deleted_run_leaves_a_gap_with_its_reason(assembled, fill, home):
    fill("paper/table2-wikitext103")
    (deleted,) = home.glob("runs/*switchhead*")
    shutil.rmtree(deleted)
    row = next(row for row in block(assembled(), "wikitext103 47M").rows if row.is_missing)
    assert row.printed.figures.label == "switchhead, 2 heads"
    assert row.gaps == (
        "seed 0 missing: no run directory; seed 1 never started; seed 2 never started"
    )
    assert row.command == "lab sweep paper/table2-wikitext103 --size pocket"


def test_an_unusable_sweep_file_is_named(assembled, sweeps_dir):
    (sweeps_dir / "broken.toml").write_text("name = ", encoding="utf-8")
    assembly = assembled()
    assert len(assembly.unusable) == 1
    assert "broken.toml" in assembly.unusable[0]
    assert str(sweeps_dir) not in assembly.unusable[0]
