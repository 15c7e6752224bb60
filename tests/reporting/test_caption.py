import pytest

from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.model_table import model_grid
from switchhead_lab.reporting.report_data import read_report_data


def test_a_selected_model_is_shown_without_its_selection_seed(complete) -> None:
    data = read_report_data(complete.write(), complete.runs_dir)
    best = data.models[-1]
    assert best.statistics(data.quality.validation).values == (34.75,)
    (line,) = [line for line in caption_lines(data) if "was selected with seed 0" in line]
    assert line.endswith(
        "over its other seeds. With that seed, which biases it, its validation perplexity is "
        "34.62 ± 0.18 (n=2)."
    )
    (row,) = [row for row in model_grid(data).records() if row["model"] == "switchhead"]
    assert row["validation_perplexity_mean"] == 34.75
    assert row["relative_validation_perplexity"] == pytest.approx(34.75 / 35.5)  # of seed 1
    assert row["validation_perplexity_of_all_seeds_mean"] == pytest.approx(34.625)
    assert (row["n_seeds"], row["n_seeds_declared"], row["selection_seed"]) == (1, 2, 0)


def test_the_only_seed_of_a_selected_model_is_said_to_be_biased(complete) -> None:
    complete.forget("switchhead", 1)
    data = read_report_data(complete.write(), complete.runs_dir)
    assert data.models[-1].statistics(data.quality.validation).text(2) == "34.50 [1 of 2 seeds]"
    (line,) = [line for line in caption_lines(data) if "was selected with seed 0" in line]
    assert line.endswith("the only one with a result, so its result is biased.")


def test_other_models_have_no_such_line(make_writer) -> None:
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    writer.add("dense", "baseline", writer.dense(), 1, 35.5)
    data = read_report_data(writer.write(), writer.runs_dir)
    assert not [line for line in caption_lines(data) if "was selected with seed" in line]
