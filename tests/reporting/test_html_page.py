"""The page over all sweeps: what it says, that it is valid, and that it loads nothing."""

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest
from html_document import Document, problems_of, read_html
from test_resources import step, write_bench

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.reporting.html.rendering import render_page
from switchhead_lab.reporting.html.section import Section, anchor
from switchhead_lab.reporting.html.site import site_text, write_site
from switchhead_lab.reporting.selection import recorded_sweeps
from switchhead_lab.tracking.file_names import MLFLOW_LINK_FILE
from switchhead_lab.tracking.sweep_record import sweep_id

HEADS = {"model": "dense-h2", "quality": {"kind": "not_worse", "margin": 1.0}, "max_seeds": 3}
CLAIMS = [HEADS, {"name": "size", "model": "dense-h2", "cost": {"parameters": 1.01}}]


@pytest.fixture
def lab(home: Path) -> Workspace:
    return find_workspace(home)


@pytest.fixture
def claimed(make_writer, home: Path):
    """Write a sweep that states claims, and return its writer."""
    writer = make_writer(claims=CLAIMS, summary="Two heads beside eight.")
    writer.fill_models()
    writer.fill_study()
    writer.write()
    return writer


def page_of(lab: Workspace) -> str:
    path = write_site(lab, recorded_sweeps(lab.runs_dir))
    return path.read_text(encoding="utf-8")


def sweeps_of(lab: Workspace) -> str:
    """Return the page without the paper's tables."""
    return site_text(lab, recorded_sweeps(lab.runs_dir))


def document_of(lab: Workspace) -> Document:
    return read_html(page_of(lab))


def test_equal_records_give_equal_bytes(lab, claimed, make_writer) -> None:
    other = make_writer(name="another", claims=None, studies=None)
    other.fill_models()
    other.write(updated_at=3.0)
    first = page_of(lab)
    assert page_of(lab) == first
    claimed.write(updated_at=4.0)  # which was changed last does not matter
    assert page_of(lab) == first
    assert str(lab.root) not in first
    moved = lab.root.with_name("moved")
    shutil.copytree(lab.root, moved)
    assert page_of(find_workspace(moved, environment={})) == first


def test_it_is_valid_and_loads_nothing(lab, claimed) -> None:
    assert problems_of(page_of(lab)) == []


def test_problems_are_found() -> None:
    wrong = '<p id="a"><b></p><p id="a"><img src="x.png"><a href="#b"></a><link href="c.css">'
    text = " ".join(problems_of(f"{wrong}<style>@import 'd'</style>"))
    for problem in ("</p> closes ['b']", "id a is not", "loads x.png", "#b leads", "c.css", "@imp"):
        assert problem in text


def test_verdicts_come_first_then_every_sweep(lab, claimed, make_writer) -> None:
    other = make_writer(name="another", claims=None, studies=None)
    other.fill_models()
    other.write()
    document = document_of(lab)
    sections = [one.attributes["id"] for one in document.find("section")]
    names = [f"sweep-{sweep_id(one.sweep)}" for one in (other, claimed)]
    assert sections == ["verdicts", *names, "paper-table-2"]
    contents = [one for one in document.find("a") if one.is_in("nav")]
    assert [one.attributes["href"] for one in contents] == [f"#{name}" for name in sections]
    assert "Without claims: another, size tiny." in document.by_id("verdicts").text


def test_a_verdict_has_its_parts_estimate_interval_seeds_and_looks(lab, claimed) -> None:
    """37.0 - 35.0, 37.1 - 35.5 and 37.5 - 36.0: worse by 1.7 on average."""
    first, second = document_of(lab).find("article")
    text = " ".join(first.text.split())
    for words in ("dense-h2-vs-dense refuted", "+1.700", "n = 3", "3 of 3 seeds, 1 look."):
        assert words in text.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"\+1\.\d{3} to \+2\.\d{3}", text)
    assert "at most 1.01 of dense" in second.text
    assert "supported" in second.text


def test_one_seed_gives_no_verdict(lab, make_writer) -> None:
    seeds = [0]
    models = [{"kind": "dense", "name": "dense-h2", "n_heads": 2, "seeds": seeds}]
    baseline = {"name": "dense", "n_heads": 8, "d_head": 8, "d_ff": 128, "seeds": seeds}
    writer = make_writer(claims=[HEADS], baseline=baseline, models=models, studies=None)
    writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    writer.add("dense-h2", "declared", writer.head_matched(), 0, 37.0)
    writer.write()
    (card,) = document_of(lab).find("article")
    assert "one seed: no verdict" in card.text
    assert "undecided" not in card.text


def test_a_deleted_run_leaves_loud_gaps(lab, claimed) -> None:
    assert "INCOMPLETE" not in sweeps_of(lab)
    (name,) = [m.run_name for m in claimed.members if (m.model, m.seed) == ("dense", 1)]
    shutil.rmtree(lab.runs_dir / name)
    document = document_of(lab)
    card = document.find("article", "gap")[0]
    assert "runs missing: undecided so far" in card.text
    assert "dense has 2 of 3 seeds" in card.text
    notices = [one.text for one in document.find("p", "notice", "gap")]
    assert "INCOMPLETE: dense has 2 of 3 seeds (seed 1 missing: no run directory)." in notices
    cells = [one.text for one in document.find("td", "gap")]
    assert "2 of 3" in cells
    assert any(cell.endswith("[2 of 3 seeds]") for cell in cells)
    listed = [one for one in document.find("li", "run", "gap") if name in one.text]
    assert "missing" in listed[0].text
    assert problems_of(page_of(lab)) == []


def test_numbers_are_sorted_at_full_precision(lab, claimed) -> None:
    path = next(lab.runs_dir.glob("*dense-h2*-2-*")) / "result.json"
    result = json.loads(path.read_text())
    result["validation_perplexity"] = 37.123456789
    path.write_text(json.dumps(result))
    document = document_of(lab)
    mean = statistics.fmean([37.0, 37.1, 37.123456789])
    (cell,) = [
        one
        for one in document.find("td")
        if one.attributes.get("data-v") == str(mean) and one.is_in("div", **{"class": "comparison"})
    ]
    assert cell.text == "37.07 ± 0.07"
    headings = [one for one in document.find("th") if one.is_in("thead")]
    assert headings
    assert all(one.is_in("table", **{"class": "sortable"}) for one in headings)


def test_every_measured_cell_leads_to_its_runs(lab, claimed) -> None:
    document = document_of(lab)
    runs = {one.attributes["id"]: one for one in document.find("li", "run") if one.attributes}
    names = {member.run_name for member in claimed.members}
    for name in names:
        assert any(name in one.text for one in runs.values())
    (cell,) = [
        one for one in document.find("a", "v") if one.text == "35.50 ± 0.50" and one.is_in("td")
    ]
    numbers = cell.attributes["data-r"].split()
    assert cell.attributes["href"] == f"#r{numbers[0]}"
    wanted = [m.run_name for m in claimed.members if m.model == "dense"]
    for number, name in zip(numbers, wanted, strict=True):
        run = runs[f"r{number}"]
        assert f"runs/{name}" in run.text
        assert f"lab train runs/{name}/config.toml --retrain" in run.text
        assert "finished" in run.text


def test_runs_lead_to_mlflow_where_lab_ui_serves_it(lab, claimed) -> None:
    run = next(lab.runs_dir.glob("*dense-h2*"))
    link = {"run_id": "abc", "experiment_id": "7", "tracking_uri": "sqlite:////else/mlflow.db"}
    (run / MLFLOW_LINK_FILE).write_text(json.dumps(link))
    links = [one for one in document_of(lab).find("a") if one.text == "MLflow"]
    assert [one.attributes["href"] for one in links] == [
        "http://127.0.0.1:5000/#/experiments/7/runs/abc"
    ]
    assert run.name in links[0].parents[-1].text


def test_the_paper_candidates_and_timings_have_tables(lab, claimed) -> None:
    write_bench(
        lab.reports_dir, claimed.sweep, [step("dense", 200.0, 1000), step("dense-h2", 190.0, 900)]
    )
    document = read_html(sweeps_of(lab))
    tables = document.find("div", "scroll")
    labels = [one.attributes["aria-label"] for one in tables]
    assert labels == [
        "Every model beside the dense baseline",
        "Costs by every convention",
        "The paper's values beside ours",
        "Time and memory of a training step (Table 5)",
        "Candidates of the search",
    ]
    assert tables[-1].is_in("details")
    assert not any(one.is_in("details") for one in tables[:-1])


def test_costs_and_figures_have_every_convention(lab, claimed) -> None:
    document = document_of(lab)
    for convention in ("published", "equations", "executed"):
        columns = document.find("th", f"c-{convention}")
        assert len(columns) == 6
        assert len(document.find("figure", f"c-{convention}")) == 3
        assert document.by_id(f"by-{convention}").attributes["type"] == "radio"
    assert len(document.find("figure", "own")) == 3
    assert len([one for one in document.find("svg", "plot") if one.is_in("figure")]) == 9


HOSTILE = "</td><script>alert('x')</script><b onclick=\"y\">&amp;"


def test_what_users_name_is_escaped(lab, make_writer) -> None:
    writer = make_writer(summary=HOSTILE, claims=CLAIMS)
    writer.fill_models()
    writer.fill_study()
    writer.add(
        "switchhead",
        "candidate",
        writer.switchhead(2, 4, 2),
        0,
        None,
        state="failed",
        reason=HOSTILE,
        trial_number=5,
        point={"n_heads": 2, "n_experts": 4, "top_k": 2},
    )
    writer.forget("dense", 1)
    shutil.rmtree(next(lab.runs_dir.glob("*-dense-xl-*-1-*")))
    writer.add("dense", "baseline", writer.dense(), 1, None, state="failed", reason=HOSTILE)
    record = writer.write()
    path = next((lab.runs_dir / "sweeps").glob("*/sweep.json"))
    assert HOSTILE in json.loads(path.read_text())["sweep"]["summary"]
    page = page_of(lab)
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    document = read_html(page)
    assert document.errors == []
    shown = [one.text for one in document.elements if HOSTILE in one.text]
    assert any("seed 1 failed" in text for text in shown)
    assert document.find("b", "y") == []
    assert record.sweep.summary in document.find("p", "lead")[1].text


@pytest.mark.parametrize("name", ["<script>", 'a"b', "a&b", "x' onload='y"])
def test_sections_with_hostile_titles_are_escaped(name: str) -> None:
    section = Section(anchor(f"s {name}"), name, "broken.html.j2", {"reason": name}, note=name)
    page = render_page([section], name)
    assert problems_of(page) == []
    document = read_html(page)
    assert [one.text for one in document.find("h2")] == [name]
    assert not [e for e in document.elements if "onload" in e.attributes]


def test_a_sweep_that_cannot_be_reported_says_why(lab, claimed, make_writer) -> None:
    wrong = {"table": 2, "dataset": "wikitext103", "params": 48}
    other = make_writer(name="broken", studies=None, paper=wrong)
    other.fill_models()
    other.write()
    document = document_of(lab)
    (section,) = [one for one in document.find("section") if "broken" in one.attributes["id"]]
    assert "NOT REPORTED" in section.text
    assert "Table 2 has no rows" in section.text
    assert "dense-h2-vs-dense" in document.by_id("verdicts").text


def test_parameters_have_a_figure_where_models_differ_in_them(lab, make_writer) -> None:
    same = make_writer(studies=None)
    other = make_writer(name="other", matching="mac_matched", studies=None)
    for writer in (same, other):
        for name, role, model in (
            ("dense", "baseline", writer.dense()),
            ("switchhead-declared", "declared", writer.switchhead(2, 4, 2)),
        ):
            writer.add(name, role, model, 0, 35.0)
        writer.write()
    document = document_of(lab)
    captions = [one.text for one in document.find("figcaption")]
    assert captions.count("parameters") == 1
