"""Claims about zero-shot tasks: values, gaps, and what one seed says."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from zero_shot_results import write_answers

from switchhead_lab.config.evaluation import SweepEvaluation
from switchhead_lab.config.zero_shot import tasks_named
from switchhead_lab.reporting.claim_states import claim_states
from switchhead_lab.reporting.claim_table import StatedClaim, claim_lines, read_claims
from switchhead_lab.reporting.report import Report, write_report
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.resources import StepTimes
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.tracking.evaluations import samples_path

NO_TIMES = StepTimes({}, {}, "", "")
PAIRS = ["pocket_minimal_pairs_verb_form", "pocket_minimal_pairs_article_form"]
WORDS = "pocket_last_word"
# Right answers of 10 by model and seed, to two tasks.
ANSWERS = {
    "dense": ([5, 5], [6, 5], [5, 6]),
    "dense-h2": ([7, 7], [8, 7], [7, 8]),
}


def right(n: int, n_all: int = 10) -> list[float]:
    return [1.0] * n + [0.0] * (n_all - n)


@pytest.fixture
def writer_with(make_writer):
    """Make a sweep with a claim about accuracies and a complete evaluation."""

    def make(
        quality: Mapping[str, Any], tasks: Sequence[str] = PAIRS, seeds: int = 3, **claim: Any
    ):
        stated = {"model": "dense-h2", "max_seeds": 3, "quality": dict(quality), **claim}
        writer = make_writer(
            studies=None,
            models=[{"kind": "dense", "name": "dense-h2", "n_heads": 2, "seeds": [*range(seeds)]}],
            baseline={
                **{"name": "dense", "n_heads": 8, "d_head": 8, "d_ff": 128},
                "seeds": [*range(seeds)],
            },
            claims=[stated],
            evaluation={"tasks": list(tasks)},
        )
        for name, role in (("dense", "baseline"), ("dense-h2", "declared")):
            model = writer.dense() if role == "baseline" else writer.head_matched()
            for seed in range(seeds):
                folder = writer.add(name, role, model, seed, 35.0)
                for task, n in zip(PAIRS, ANSWERS[name][seed], strict=True):
                    write_answers(folder, task, right(n))
        return writer

    return make


def folder_of(writer, name: str, seed: int) -> Path:
    (member,) = [m for m in writer.members if (m.model, m.seed) == (name, seed)]
    return writer.runs_dir / member.run_name


def claim_of(writer) -> StatedClaim:
    (stated,) = read_claims(read_report_data(writer.record(), writer.runs_dir), NO_TIMES)
    return stated


def accuracy(task: str = PAIRS[0], **quality: Any) -> dict[str, Any]:
    return {"metric": f"evaluation/{task}/accuracy", "kind": "better", **quality}


def test_higher_accuracies_are_better_and_paired_by_seed(writer_with) -> None:
    """0.7, 0.8 and 0.7 against 0.5, 0.6 and 0.5: better by 0.2 with every seed."""
    stated = claim_of(writer_with(accuracy()))
    (part,) = stated.verdict.parts
    assert part.part.estimate == pytest.approx(-0.2)
    assert (part.part.n, stated.verdict.verdict) == (3, "supported")
    assert stated.parts[0].name == "pocket minimal pairs verb form accuracy"
    worse = claim_of(
        writer_with(accuracy(kind="not_worse", margin=0.1), versus="dense-h2", model="dense")
    )
    assert worse.verdict.parts[0].part.estimate == pytest.approx(0.2)
    assert worse.verdict.verdict == "refuted"


def test_a_group_is_the_unweighted_mean_of_its_tasks(writer_with) -> None:
    writer = writer_with(
        accuracy("pocket_minimal_pairs", kind="equivalent", margin=0.25), ["pocket_minimal_pairs"]
    )
    stated = claim_of(writer)
    assert (stated.verdict.verdict, stated.looks) == ("undecided", (0,))
    assert stated.gaps == (
        "dense-h2 is not evaluated on pocket_minimal_pairs: seed 0 (2 of 12 tasks), "
        "seed 1 (2 of 12 tasks), seed 2 (2 of 12 tasks).",
        "dense is not evaluated on pocket_minimal_pairs: seed 0 (2 of 12 tasks), "
        "seed 1 (2 of 12 tasks), seed 2 (2 of 12 tasks).",
    )
    asked = tasks_named(writer.sweep.evaluation.tasks)
    others = [task.name for task in asked if task.name not in PAIRS]
    for member in writer.members:
        for task in others:
            write_answers(writer.runs_dir / member.run_name, task, right(1, 2))
    stated = claim_of(writer)
    # Two tasks differ by 0.2 and ten not at all, whatever their numbers of documents.
    assert stated.verdict.parts[0].part.estimate == pytest.approx(-0.4 / 12)
    assert stated.verdict.verdict == "supported"


def test_lower_perplexities_are_better(writer_with) -> None:
    quality = {"metric": f"evaluation/{WORDS}/perplexity", "kind": "not_worse", "margin": 0.5}
    writer = writer_with(quality, [WORDS])
    for member in writer.members:
        nats = math.log(40.0 + member.seed + (0.1 * member.seed if member.model != "dense" else 0))
        answers = right(1, 4), [-nats] * 4
        write_answers(writer.runs_dir / member.run_name, WORDS, *answers)
    stated = claim_of(writer)
    assert stated.verdict.parts[0].part.estimate == pytest.approx(0.1)
    assert stated.verdict.verdict == "supported"
    assert stated.parts[0].statement == (
        "worse than dense by less than 0.50 (1.2 % of the 40.00 of dense)"
    )


def test_a_margin_says_what_it_means(writer_with) -> None:
    stated = claim_of(writer_with(accuracy(kind="equivalent", margin=0.0125)))
    assert stated.parts[0].statement == (
        "within 1.25 % of dense (0.0125 as recorded, in percentage points, guessing gives 50 %)"
    )


def test_a_missing_evaluation_withholds_the_verdict_and_names_the_command(
    writer_with, tmp_path: Path
) -> None:
    writer = writer_with(accuracy(), cost={"parameters": 1.1})
    (folder_of(writer, "dense", 1) / f"evaluation/{PAIRS[0]}.json").unlink()
    stated = claim_of(writer)
    assert stated.verdict.verdict == "undecided"
    assert stated.verdict_text == "evaluations missing: undecided so far"
    assert stated.verdict.parts[0].part.estimate is None
    assert stated.gaps == (f"dense is not evaluated on {PAIRS[0]}: seed 1.",)
    # More seeds would not help, and nothing was looked at.
    record = writer.write()
    assert claim_states(record, writer.runs_dir, tmp_path / "reports") == []
    report = report_of(writer)
    (incomplete,) = report.incomplete
    assert incomplete.startswith(
        "INCOMPLETE: dense lacks zero-shot results (seed 1: 1 of 2 tasks); `lab sweep mini --size "
    )
    page = (report.folder / "report.md").read_text(encoding="utf-8")
    assert "evaluations missing: undecided so far" in page
    assert f"**{incomplete}**" in page
    (line,) = [line for line in report.claims_caption if line.startswith("dense-h2-vs-dense: ")]
    assert "2 of 3 seeds" in line
    assert "Its zero-shot results are incomplete: `lab sweep mini --size tiny` evaluates" in line


def test_missing_runs_and_missing_evaluations_are_both_named(writer_with) -> None:
    writer = writer_with(accuracy())
    (folder_of(writer, "dense", 1) / f"evaluation/{PAIRS[0]}.json").unlink()
    writer.forget("dense-h2", 2)
    stated = claim_of(writer)
    assert stated.verdict_text == "runs and evaluations missing: undecided so far"
    assert stated.gaps[0] == "dense-h2 has 2 of 3 seeds."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents_sha256": "y"}, "were not asked the same documents (documents_sha256: x and y"),
        ({"precision": "bf16"}, "were not evaluated alike (precision: x and bf16)"),
    ],
)
def test_results_of_other_documents_do_not_compare(
    writer_with, fields: dict[str, str], message: str
) -> None:
    writer = writer_with(accuracy())
    write_answers(folder_of(writer, "dense", 1), PAIRS[0], right(6), **fields)
    stated = claim_of(writer)
    assert stated.verdict.verdict == "undecided"
    (gap,) = stated.gaps
    assert message in gap


def test_an_infinite_perplexity_decides_nothing(writer_with) -> None:
    quality = {"metric": f"evaluation/{WORDS}/perplexity", "kind": "not_worse", "margin": 0.5}
    writer = writer_with(quality, [WORDS])
    for member in writer.members:
        nats = -1000.0 if member.seed else -3.0
        write_answers(writer.runs_dir / member.run_name, WORDS, right(1, 4), [nats] * 4)
    stated = claim_of(writer)
    assert (stated.verdict.verdict, stated.gaps) == ("undecided", ())


def test_one_seed_says_what_the_documents_of_the_tasks_do(writer_with) -> None:
    writer = writer_with(accuracy(), seeds=1)
    stated = claim_of(writer)
    assert not stated.has_verdict
    (line,) = [line for line in claim_lines([stated]) if "needs two seeds" in line]
    name = PAIRS[0]
    assert f"Over the 10 documents of {name} alone (bootstrap in pairs, 95 %)" in line
    assert (
        "the accuracy of dense-h2 minus that of dense is +20.00 percentage points (+0.00 to +50.00)"
        in line
    )
    assert "this says nothing about other seeds" in line
    samples_path(folder_of(writer, "dense", 0) / "evaluation", name).unlink()
    (line,) = [line for line in claim_lines([claim_of(writer)]) if "needs two seeds" in line]
    assert f"Samples of {name} are not kept" in line


def test_the_page_has_the_gap_and_the_verdict(writer_with) -> None:
    writer = writer_with(accuracy())
    report = report_of(writer)
    assert report.incomplete == ()
    (row,) = report.as_data()["claims"]
    assert (row["verdict"], row["n"]) == ("supported", 3)
    assert row["estimate"] == pytest.approx(-0.2)
    cells = json.loads((report.folder / "provenance.json").read_text())["cells"]
    assert any("claims" in str(cell) for cell in cells)


def test_a_sweep_without_an_evaluation_lacks_none(writer_with) -> None:
    writer = writer_with(accuracy())
    asked = SweepEvaluation(tasks=["blimp"])
    for evaluation, n in ((asked, 2), (None, 0)):
        changes = {"claims": [], "evaluation": evaluation}
        writer.sweep = writer.sweep.model_copy(update=changes)
        assert len(report_of(writer).incomplete) == n


def report_of(writer) -> Report:
    root = writer.runs_dir.parent
    (root / "sweeps").mkdir(exist_ok=True)
    write_declaration(root / "sweeps/mini.toml", writer.sweep)
    selection = Selection(writer.write(), ())
    return write_report(selection, writer.runs_dir, root / "reports", sweeps_dir=root / "sweeps")


def write_declaration(path: Path, sweep) -> None:
    tree = sweep.model_dump(mode="json", exclude_none=True)
    size = tree.pop("size")
    path.write_text(tomli_w.dumps({**tree, "sizes": {size: {}}}), encoding="utf-8")
