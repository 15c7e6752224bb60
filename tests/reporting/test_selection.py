import pytest

from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.selection import select_record


def test_default_is_the_most_recently_changed(make_writer):
    writer = make_writer()
    writer.write(updated_at=5.0)
    other = make_writer(name="other")
    other.write(updated_at=9.0)
    assert select_record(writer.runs_dir).record.sweep.name == "other"
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
    with pytest.raises(RecordError, match="lab sweep matched-params"):
        select_record(tmp_path / "runs")


def test_unknown_sweep_and_size_suggest_known_ones(make_writer):
    writer = make_writer()
    writer.write()
    with pytest.raises(RecordError, match=r'did you mean "mini"\?.*lab sweep mimi'):
        select_record(writer.runs_dir, "mimi")
    with pytest.raises(RecordError, match=r'did you mean "tiny"\?.*--size tinny'):
        select_record(writer.runs_dir, "mini", "tinny")
