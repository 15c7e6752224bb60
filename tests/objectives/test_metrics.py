import math

import pytest

from switchhead_lab.objectives.base import TrivialModel
from switchhead_lab.objectives.language_model import LanguageModelling
from switchhead_lab.objectives.metrics import ACCURACY, PERPLEXITY, Totals


def test_metrics_are_computed_from_sums() -> None:
    totals = Totals(loss_nats=20.0, n_targets=10, n_bytes=40)
    assert LanguageModelling().measure(totals) == {
        "loss_nats": 2.0,
        "perplexity": math.exp(2.0),
        "bits_per_byte": pytest.approx(20.0 / math.log(2) / 40),
    }
    assert ACCURACY.value(Totals(1.0, 8, {"correct": 6.0})) == 0.75


def test_metrics_that_cannot_be_computed_are_omitted() -> None:
    assert "bits_per_byte" not in LanguageModelling().measure(Totals(20.0, 10))


def test_a_perplexity_that_overflows_is_infinite() -> None:
    assert PERPLEXITY.value(Totals(7e6, 10)) == math.inf


def test_values_are_printed_with_their_unit() -> None:
    assert PERPLEXITY.text(1234.567) == "1,234.57"
    assert ACCURACY.text(0.9375) == "93.8 %"
    assert ACCURACY.text(None) == "-"


def test_directions() -> None:
    assert PERPLEXITY.is_better(2.0, 3.0)
    assert not PERPLEXITY.is_better(2.0, 2.0)
    assert ACCURACY.is_better(0.9, 0.8)
    assert not ACCURACY.is_better(0.8, 0.8)


@pytest.mark.parametrize(
    ("manifest", "value"),
    [({"a": {"b": 3}}, 3.0), ({"a": 1}, None), ({"a": None}, None), ({}, None)],
)
def test_a_trivial_model_is_read_from_the_manifest(manifest: dict, value: float | None) -> None:
    assert TrivialModel("a trivial model", ("a", "b")).value(manifest) == value
