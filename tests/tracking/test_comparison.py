from collections.abc import Callable

from switchhead_lab.tracking.comparison import (
    FieldDifference,
    differing_fields,
    flatten,
    paired_results,
)
from switchhead_lab.tracking.record import RunRecord
from switchhead_lab.views.runs import field_table, result_table

MakeRun = Callable[..., RunRecord]


def test_leaves_have_dotted_names() -> None:
    tree = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert list(flatten(tree)) == [("a.b.c", 1), ("a.d", [2]), ("e", None)]


def test_equal_configurations_have_no_differences(make_run: MakeRun) -> None:
    assert differing_fields(make_run().config, make_run().config) == []


def test_only_differing_fields_are_listed(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(attention="switchhead", seed=4)
    differences = {d.field: d for d in differing_fields(first.config, second.config)}
    prefix = "model.attention."
    assert list(differences)[:3] == ["seed", f"{prefix}kind", f"{prefix}n_heads"]
    assert differences["seed"] == FieldDifference("seed", 0, 4)
    assert field_table([differences[f"{prefix}{name}"] for name in ("kind", "n_experts")]).rows == [
        [f"{prefix}kind", "dense", "switchhead"],
        [f"{prefix}n_experts", "-", "3"],
    ]
    # Fields of only one of the two kinds are listed, equal fields are not.
    assert f"{prefix}gate" in differences
    assert f"{prefix}d_head" not in differences
    assert not any(name.startswith(("training", "data")) for name in differences)


def test_results_are_paired(make_run: MakeRun) -> None:
    first, second = make_run(), make_run("failed", seed=1)
    rows = result_table(paired_results(first, first)).rows
    assert ["test_perplexity", "3", "3", "+0"] in rows
    assert ["device", "cpu (test)", "cpu (test)", ""] in rows
    rows = result_table(paired_results(first, second)).rows
    assert ["test_perplexity", "3", "-", ""] in rows
    assert paired_results(second, second) == []
