from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.report_data import read_report_data


def test_a_selected_model_is_shown_without_its_selection_seed(complete) -> None:
    data = read_report_data(complete.write(), complete.runs_dir)
    best = data.models[-1]
    values = best.statistics(data.quality.validation).values
    (line,) = [line for line in caption_lines(data) if "was selected with seed 0" in line]
    assert line.startswith("switchhead was selected with seed 0, which biases its mean; ")
    assert line.endswith(f"without that seed its validation perplexity is {values[1]:.2f}.")
    assert len(values) == 2


def test_other_models_have_no_such_line(make_writer) -> None:
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    writer.add("dense", "baseline", writer.dense(), 1, 35.5)
    data = read_report_data(writer.write(), writer.runs_dir)
    assert not [line for line in caption_lines(data) if "was selected with seed" in line]
