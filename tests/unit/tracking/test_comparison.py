from collections.abc import Callable

from switchhead_lab.tracking.comparison import (
    FieldDifference,
    differing_fields,
    flatten,
    paired_results,
)
from switchhead_lab.tracking.record import RunRecord

MakeRun = Callable[..., RunRecord]


def test_leaves_have_dotted_names() -> None:
    tree = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert list(flatten(tree)) == [("a.b.c", 1), ("a.d", [2]), ("e", None)]


def test_equal_configurations_have_no_differences(make_run: MakeRun) -> None:
    assert differing_fields(make_run(), make_run()) == []


def test_only_fields_that_differ_are_told(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(attention="switchhead", seed=4)
    assert differing_fields(first, second) == [
        FieldDifference("seed", 0, 4),
        FieldDifference("model.attention.kind", "dense", "switchhead"),
        FieldDifference("model.attention.n_heads", 4, 2),
        FieldDifference("model.attention.n_experts", None, 3),
        FieldDifference("model.attention.top_k", None, 2),
    ]
    assert differing_fields(first, second)[3].cells() == ["model.attention.n_experts", "-", "3"]


def test_results_stand_side_by_side(make_run: MakeRun) -> None:
    first, second = make_run(), make_run("failed", seed=1)
    pairs = {pair.figure: pair for pair in paired_results(first, first)}
    assert pairs["test_perplexity"].cells() == ["test_perplexity", "3", "3", "+0"]
    assert pairs["device"].cells() == ["device", "cpu (test)", "cpu (test)", ""]
    pairs = {pair.figure: pair for pair in paired_results(first, second)}
    assert pairs["test_perplexity"].cells() == ["test_perplexity", "3", "-", ""]
    assert paired_results(second, second) == []
