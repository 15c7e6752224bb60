import pytest
from shipped_sweeps import SWEEPS

from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.selection import select_all, select_record


def test_every_sweep_with_runs_is_selected_the_latest_first(make_writer):
    writer, other, empty = (make_writer(name=name) for name in ("mini", "other", "empty"))
    writer.fill_models()
    writer.write(updated_at=5.0)
    other.fill_models()
    other.write(updated_at=9.0)
    empty.write()
    selected = select_all(writer.runs_dir)
    assert [one.record.sweep.name for one in selected] == ["other", "mini"]
    assert selected == [select_record(writer.runs_dir, name) for name in ("other", "mini")]
    assert select_all(writer.runs_dir, "tiny") == selected
    with pytest.raises(RecordError, match='size "tinny" .did you mean "tiny"'):
        select_all(writer.runs_dir, "tinny")


def test_a_sweep_is_selected_by_name(make_writer):
    writer = make_writer()
    writer.write()
    assert select_record(writer.runs_dir, "mini").record.sweep.name == "mini"


def test_latest_of_several_declarations_is_selected_with_a_note(make_writer):
    old = make_writer()
    old.write(updated_at=5.0)
    training = {**old.sweep.training.model_dump(), "learning_rate": 2e-3}
    new = make_writer(training=training)
    new.write(updated_at=9.0)
    selection = select_record(old.runs_dir, "mini", "tiny")
    assert selection.record.sweep.training.learning_rate == 2e-3
    assert "several declarations" in selection.notes[0]


def test_other_sizes_are_not_other_declarations(make_writer):
    make_writer().write(updated_at=5.0)
    writer = make_writer(size="large")
    writer.write(updated_at=9.0)
    selection = select_record(writer.runs_dir, "mini")
    assert (selection.record.sweep.size, selection.notes) == ("large", ())


def test_no_record_is_an_error_with_the_command_to_run(tmp_path):
    runs_dir = tmp_path / "runs"
    with pytest.raises(RecordError, match="run `lab sweep matched-params` first"):
        select_all(runs_dir, sweeps_dir=SWEEPS)
    with pytest.raises(RecordError, match="run `lab sweep paper/table2-c4 --size pocket` first"):
        select_record(runs_dir, "table2-c4", "pocket", SWEEPS)
    with pytest.raises(RecordError, match="`lab sweep list` shows what can be run"):
        select_record(runs_dir, "mini", "", SWEEPS)


def test_unknown_sweep_and_size_suggest_known_ones(make_writer):
    writer = make_writer()
    writer.write()
    with pytest.raises(RecordError, match=r'did you mean "mini"\?.*lab sweep list'):
        select_record(writer.runs_dir, "mimi")
    with pytest.raises(RecordError, match=r'did you mean "tiny"\?.*lab sweep list'):
        select_record(writer.runs_dir, "mini", "tinny")
