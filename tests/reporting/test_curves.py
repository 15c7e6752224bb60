"""Loss curves: means over the seeds that finished, by tokens and by training compute."""

import pytest

from switchhead_lab.reporting.curves import loss_curves
from switchhead_lab.reporting.figures.curves import draw_curves
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.reporting.training_compute import training_macs

TOKENS_PER_STEP = 8 * 32


@pytest.fixture
def data(make_writer):
    writer = make_writer(studies=None)
    for seed, last in enumerate((3.0, 3.2)):
        losses = {25: 5.0 + seed, 50: 4.0, 100: last}
        if seed == 1:
            del losses[25]
        writer.add("dense", "baseline", writer.dense(), seed, 20.0, validations=losses)
    writer.add("dense", "baseline", writer.dense(), 2, None, state="failed", validations={50: 9.0})
    writer.add(
        "dense-h2", "declared", writer.head_matched(), 0, 21.0, validations={50: 4.5, 100: 3.5}
    )
    return read_report_data(writer.write(), writer.runs_dir)


def test_means_are_over_finished_seeds_at_steps_that_all_have(data) -> None:
    dense, other = loss_curves(data)
    assert (dense.name, dense.n_seeds, other.name, other.n_seeds) == ("dense", 2, "dense-h2", 1)
    assert [point.step for point in dense.points] == [50, 100]
    assert [point.mean for point in dense.points] == pytest.approx([4.0, 3.1])
    assert dense.points[1].std == pytest.approx(0.2 / 2**0.5)
    assert [point.std for point in other.points] == [0.0, 0.0]
    assert [point.tokens for point in dense.points] == [50 * TOKENS_PER_STEP, 100 * TOKENS_PER_STEP]


def test_macs_are_the_share_of_the_whole_training(data) -> None:
    dense = loss_curves(data)[0]
    whole = training_macs(data.baseline)
    assert [point.macs for point in dense.points] == pytest.approx([whole / 2, whole])


def test_models_without_a_result_have_no_curve(make_writer) -> None:
    writer = make_writer(studies=None)
    writer.add("dense", "baseline", writer.dense(), 0, None, state="failed", validations={50: 4.0})
    assert loss_curves(read_report_data(writer.write(), writer.runs_dir)) == []


def test_equal_curves_give_equal_bytes(data) -> None:
    first, again = draw_curves(loss_curves(data), "mini"), draw_curves(loss_curves(data), "mini")
    assert first == again
    assert b"dense-h2" not in draw_curves([], "mini").by_format["svg"]
