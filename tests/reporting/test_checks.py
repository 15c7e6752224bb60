import pytest

from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.checks import incomplete_lines, trivial_values, warning_lines
from switchhead_lab.reporting.report_data import read_report_data

MANIFEST = {"digest": "e" * 64, "unigram_perplexity": {"validation": 36.0}}
SWITCHHEAD = {
    "kind": "switchhead",
    "name": "switchhead-declared",
    "n_heads": 2,
    "n_experts": 4,
    "top_k": 2,
}


def _data(writer):
    return read_report_data(writer.write(), writer.runs_dir)


def test_complete_sweep_has_no_gaps_and_no_warnings(complete):
    data = _data(complete)
    assert incomplete_lines(data) == []
    assert warning_lines(data) == []


def test_missing_seed(complete):
    complete.forget("dense", 1)
    assert incomplete_lines(_data(complete)) == [
        "INCOMPLETE: dense has 2 of 3 seeds (seed 1 never started)."
    ]


def test_failed_run_is_reported_with_its_reason(make_writer):
    writer = make_writer(studies=None, models=[SWITCHHEAD])
    for seed in range(3):
        writer.add("dense", "baseline", writer.dense(), seed, 35.0)
    model = writer.switchhead(2, 4, 2)
    writer.add("switchhead-declared", "declared", model, 0, None, state="failed", reason="is\nnan")
    assert incomplete_lines(_data(writer)) == [
        "INCOMPLETE: switchhead-declared has 0 of 1 seeds (seed 0 failed: is nan)."
    ]


def test_search_that_has_not_started(make_writer):
    writer = make_writer()
    writer.fill_models()
    lines = incomplete_lines(_data(writer))
    assert "switchhead has 0 of 2 seeds" in lines[0]
    # The space has four combinations; the study declares three.
    assert lines[1] == "INCOMPLETE: the search of switchhead tried 0 of 3 candidates."


def test_search_is_complete_when_the_space_is_used_up(make_writer):
    (study,) = make_writer().sweep.studies
    writer = make_writer(studies=[{**study.model_dump(), "n_trials": 50}])
    writer.fill_models()
    writer.fill_study()
    assert incomplete_lines(_data(writer)) == []


def test_interrupted_candidate_is_a_gap(make_writer):
    writer = make_writer()
    writer.fill_models()
    model = writer.switchhead(2, 2, 2)
    writer.add("switchhead", "candidate", model, 0, None, state="interrupted", trial_number=7)
    assert "0 of 3 candidates (trial 7 interrupted)" in incomplete_lines(_data(writer))[1]


def test_failed_candidate_is_an_outcome_and_noted(make_writer):
    writer = make_writer()
    writer.fill_models()
    model = writer.switchhead(2, 2, 2)
    name, failed = "switchhead", {"state": "failed", "reason": "nan", "trial_number": 7}
    writer.add(name, "candidate", model, 0, None, point={"n_heads": 2}, **failed)
    data = _data(writer)
    assert incomplete_lines(data)[1] == (
        "INCOMPLETE: the search of switchhead tried 1 of 3 candidates."
    )
    assert "Note: candidates of switchhead that failed: trial 7." in warning_lines(data)


def test_different_data_and_commits_are_warned_of(complete):
    complete.sweep = complete.sweep.model_copy(
        update={"baseline": complete.sweep.baseline.model_copy(update={"seeds": [0, 1, 2, 3]})}
    )
    provenance = {"git": {"commit": "e" * 40, "dirty": True}, "data_manifest": MANIFEST}
    complete.add("dense", "baseline", complete.dense(), 3, 35.1, provenance=provenance)
    lines = warning_lines(_data(complete))
    assert any("2 different versions of the data" in line for line in lines)
    assert any("2 commits" in line for line in lines)
    assert any("1 of 12 runs were made with uncommitted changes" in line for line in lines)


def test_a_run_that_drifted_is_named_with_what_changed(make_writer):
    writer = make_writer()
    drift = {"drift": ["threads: 2 before, 1 now"]}
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, provenance=drift)
    (line,) = [line for line in warning_lines(_data(writer)) if "was continued under" in line]
    assert line.startswith("WARNING: ")
    assert "(threads: 2 before, 1 now)" in line


def test_uncommitted_diff_counts_as_change(make_writer):
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, diff="--- a\n+++ b\n")
    assert any("1 of 1 runs" in line for line in warning_lines(_data(writer)))


def test_runs_that_git_could_not_judge_are_counted(make_writer):
    writer = make_writer()
    git = {"commit": "c" * 40, "dirty": None, "reason": "git diff took longer than 10 s"}
    provenance = {"git": git, "data_manifest": MANIFEST}
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, provenance=provenance)
    writer.add("dense", "baseline", writer.dense(), 1, 35.0)
    lines = warning_lines(_data(writer))
    assert any(line.startswith("Note: for 1 of 2 runs git could not tell") for line in lines)
    assert not any("were made with uncommitted" in line for line in lines)


def test_untrained_model_is_warned_of(make_writer):
    writer = make_writer()
    provenance = {"data_manifest": MANIFEST}
    writer.add("dense", "baseline", writer.dense(), 0, 36.5, provenance=provenance)
    writer.add("dense-h2", "declared", writer.head_matched(), 0, 35.5, provenance=provenance)
    lines = warning_lines(_data(writer))
    assert any(line.startswith("WARNING: dense is no better than the unigram") for line in lines)
    assert not any("dense-h2 is no better" in line for line in lines)


@pytest.mark.parametrize("provenance", [{}, {"data_manifest": None}, {"data_manifest": {"a": 1}}])
def test_missing_provenance_is_reported_not_raised(make_writer, provenance):
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, provenance=provenance)
    data = _data(writer)
    assert trivial_values(data) == []
    assert any("not recorded" in line for line in caption_lines(data))


def test_other_device_and_arithmetic(make_writer):
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    writer.add(
        "dense-h2", "declared", writer.head_matched(), 0, 36.0, device="gpu", precision="bf16"
    )
    lines = warning_lines(_data(writer))
    assert any("differ in arithmetic" in line for line in lines)
    assert any("the runs differ in device or arithmetic, and so do" in line for line in lines)


def test_parameters_other_than_the_budget_says(make_writer):
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0, n_parameters=7)
    assert any("was built with 7 parameters" in line for line in warning_lines(_data(writer)))


def test_best_that_is_not_the_best(make_writer):
    writer = make_writer()
    name, points = "switchhead", [{"n_heads": 1}, {"n_heads": 2}]
    models = [writer.switchhead(n_heads, 2, 2) for n_heads in (1, 2)]
    writer.add(name, "candidate", models[0], 0, 30.0, trial_number=4, point=points[0])
    writer.add(name, "candidate", models[1], 0, 31.0, trial_number=5, point=points[1])
    writer.add(name, "best", models[1], 0, 31.0, point=points[1])
    assert any("which is trial 4" in line for line in warning_lines(_data(writer)))


def test_caption_names_what_was_compared(complete):
    text = "\n".join(caption_lines(_data(complete), ("A note.",), "Times are these."))
    for part in (
        "Sweep mini, size tiny",
        "Corpus sotu, byte tokenizer with 256 tokens",
        "100 steps, 25,600 tokens",
        "cpu (test) (fp32)",
        "512.2",
        "published convention",
        "Times are these.",
        "chosen on validation perplexity",
        "A note.",
    ):
        assert part in text
