from switchhead_lab.reporting.checks import warning_lines
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.tracking.code_identity import code_of

SHARED = "switchhead_lab/training/loop.py"
OWN = "switchhead_lab/model/attention/dense.py"
SWITCHHEAD = "switchhead_lab/model/attention/switchhead.py"


def lines_of(writer) -> list[str]:
    return warning_lines(read_report_data(writer.write(), writer.runs_dir))


def code_with(writer, model, **changes: str) -> dict:
    """Return a provenance whose code differs from the present in some files."""
    code = code_of(writer.config(model, 0)).as_data()
    assert set(changes) <= set(code["files"])
    return {"code": {**code, "files": {**code["files"], **changes}}}


def test_equal_and_present_code_needs_no_words(complete) -> None:
    assert lines_of(complete) == []


def test_runs_of_one_model_by_different_code_of_its_own_are_a_warning(make_writer) -> None:
    writer = make_writer(studies=None)
    dense = writer.dense()
    writer.add("dense", "baseline", dense, 0, 35.0)
    other = code_with(writer, dense, **{OWN: "0" * 16})
    writer.add("dense", "baseline", dense, 1, 35.1, provenance=other)
    differing, since = lines_of(writer)
    assert differing == (
        f"WARNING: different versions of {OWN} computed the runs of dense; their results are not "
        "comparable."
    )
    assert since == (
        f"WARNING: the code of dense has changed since its runs ({OWN}); `lab sweep "
        "--retrain changed` retrains them, with the sweep and the overrides of this declaration, "
        "which no sweep file gives now."
    )


def test_different_shared_code_is_a_note(make_writer) -> None:
    writer = make_writer(studies=None)
    other = code_with(writer, writer.dense(), **{SHARED: "0" * 16})
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, provenance=other)
    writer.add("dense-h2", "declared", writer.head_matched(), 0, 35.5)
    differing, since = lines_of(writer)
    assert differing == f"Note: the runs were computed by different versions of {SHARED}."
    assert since.startswith(f"Note: shared code has changed since the runs ({SHARED}); `lab sweep")


def test_figures_of_edited_code_are_not_shown_silently(complete, edit) -> None:
    edit(SWITCHHEAD)
    (line,) = lines_of(complete)
    assert line.startswith(
        "WARNING: the code of switchhead, switchhead-declared has changed since their runs "
        f"({SWITCHHEAD}); "
    )


def test_unrecorded_code_is_counted(make_writer) -> None:
    writer = make_writer(studies=None)
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, provenance={"code": None})
    writer.add("dense", "baseline", writer.dense(), 1, 35.0)
    assert lines_of(writer) == ["Note: the code of 1 of 2 runs was not recorded."]
