import csv
import json

import pytest

from switchhead_lab.errors import ConfigError
from switchhead_lab.reporting.report import DEFAULT_AXES
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.reporting.together import write_together
from switchhead_lab.tracking.sweep_record import sweep_id


@pytest.fixture
def two(complete, make_writer):
    other = make_writer(
        name="other",
        matching="mac_matched",
        convention="equations",
        training={**complete.sweep.training.model_dump(), "n_steps": 60},
        paper=None,
        studies=None,
    )
    other.add("dense", "baseline", other.dense(), 0, 40.0)
    other.add("dense-h2", "declared", other.head_matched(), 0, 44.0)
    return complete, other


def together(*writers):
    selections = [Selection(writer.write(), ()) for writer in writers]
    runs_dir = writers[0].runs_dir
    return write_together(selections, runs_dir, runs_dir.parent / "reports", DEFAULT_AXES)


def test_every_row_is_relative_to_its_own_baseline(two) -> None:
    report = together(*two)
    with (report.folder / "table.csv").open(encoding="utf-8") as file:
        rows = {(row["sweep"], row["model"]): row for row in csv.DictReader(file)}
    ratio = "relative_validation_perplexity"
    assert float(rows["other", "dense-h2"][ratio]) == pytest.approx(1.1)
    assert float(rows["mini", "switchhead"][ratio]) == pytest.approx(34.75 / 35.5)
    assert float(rows["other", "dense"][ratio]) == 1.0
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "| other: dense-h2 " in page
    assert set(report.files) == {path.name for path in report.folder.iterdir()}


def test_what_differs_between_the_declarations_is_said(two) -> None:
    caption = together(*two).caption
    assert (
        "The sweeps differ in matching: parameter_matched in mini, mac_matched in other." in caption
    )
    assert "The sweeps differ in convention: published in mini, equations in other." in caption
    assert not [line for line in caption if line.startswith("The sweeps differ in models")]


def test_gaps_and_warnings_name_their_sweep(two) -> None:
    report = together(*two)
    assert report.incomplete[0].startswith("INCOMPLETE: other: dense has 1 of 3 seeds")
    assert report.incomplete[0] in (report.folder / "report.md").read_text(encoding="utf-8")
    text = (report.folder / "table.tex").read_text(encoding="utf-8")
    assert f"INCOMPLETE: {len(report.incomplete)} gaps; see the notes." in text


def test_every_run_of_every_sweep_is_in_the_provenance(two) -> None:
    report = together(*two)
    provenance = json.loads((report.folder / "provenance.json").read_text(encoding="utf-8"))
    assert [one["id"] for one in provenance["sweeps"]] == [sweep_id(w.sweep) for w in two]
    names = {member.run_name for writer in two for member in writer.members}
    assert set(provenance["runs"]) == names
    assert {run for cell in provenance["cells"] for run in cell["runs"]} <= names


def test_reports_of_other_sweeps_together_are_kept(two, make_writer) -> None:
    third = make_writer(name="third", studies=None)
    third.add("dense", "baseline", third.dense(), 1, 41.0)
    first, second = together(*two), together(two[0], third)
    assert first.folder != second.folder
    assert (first.folder / "report.md").is_file()


def test_sweeps_of_one_name_are_told_apart(complete, make_writer) -> None:
    other = make_writer(size="larger", studies=None)
    other.add("dense", "baseline", other.dense(), 0, 40.0)
    assert together(complete, other).title == "Sweeps side by side: mini tiny, mini larger"


def test_sweeps_with_different_metrics_are_rejected(complete, make_writer) -> None:
    classes = {"kind": "listops", "n_train": 64, "n_validation": 16, "n_test": 16}
    other = make_writer(
        name="classes",
        data=classes,
        objective={"kind": "classification"},
        model={
            **complete.sweep.model.model_dump(mode="json"),
            "context_multiple": 1,
            "seq_len": 64,
        },
        paper=None,
        studies=None,
    )
    with pytest.raises(ConfigError, match="different metrics .mini: perplexity, classes: accuracy"):
        together(complete, other)
