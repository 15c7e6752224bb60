from switchhead_lab.reporting.caption import caption_lines
from switchhead_lab.reporting.report_data import read_report_data


def test_the_seed_that_chose_a_model_is_named_with_what_it_does(complete) -> None:
    data = read_report_data(complete.write(), complete.runs_dir)
    best = data.models[-1]
    values = best.statistics(data.quality.validation).values
    (line,) = [line for line in caption_lines(data) if line.startswith("Seed 0 chose switchhead")]
    assert line.endswith(f"without that seed its validation perplexity is {values[1]:.2f}.")
    assert len(values) == 2


def test_a_model_that_was_not_chosen_or_has_one_seed_has_no_such_line(make_writer) -> None:
    writer = make_writer()
    writer.add("dense", "baseline", writer.dense(), 0, 35.0)
    writer.add("dense", "baseline", writer.dense(), 1, 35.5)
    data = read_report_data(writer.write(), writer.runs_dir)
    assert not [line for line in caption_lines(data) if "chose" in line and "favours" in line]
