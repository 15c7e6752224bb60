"""Use of experts, read from the records of finished runs."""

import json

import pytest

from switchhead_lab.errors import RecordError
from switchhead_lab.reporting.expert_use import read_expert_use
from switchhead_lab.reporting.figures.expert_use import draw_expert_use
from switchhead_lab.reporting.report_data import read_report_data

COUNTS = {
    "n_tokens": {},
    "counts": {
        "blocks.0.attention.value_router": [[10, 30], [0, 40]],
        "blocks.0.attention.output_router": [[20, 20], [20, 20]],
        "blocks.1.attention.value_router": [[40, 0], [1, 3]],
        "blocks.1.attention.output_router": [[20, 20], [20, 20]],
    },
}


@pytest.fixture
def written(make_writer):
    """A dense model and SwitchHead; return the writer and the folder of the second run."""
    writer = make_writer(studies=None)
    writer.add("dense", "baseline", writer.dense(), 0, 20.0)
    model = writer.switchhead(2, 4, 2)
    metrics = {
        "router/attention.value_router/use_entropy": 0.9,
        "router/attention.output_router/use_entropy": 1.0,
    }
    folder = writer.add(
        "switchhead-declared", "declared", model, 0, 21.0, validations={50: 4.0}, router=metrics
    )
    (folder / "router_use.json").write_text(json.dumps(COUNTS), encoding="utf-8")
    return writer, folder


def use_of(writer):
    return list(read_expert_use(read_report_data(writer.write(), writer.runs_dir)))


def test_shares_are_by_layer_head_and_expert(written) -> None:
    writer, folder = written
    (use,) = use_of(writer)
    assert (use.model, use.seed, use.run) == ("switchhead-declared", 0, folder.name)
    values, outputs = use.kinds
    assert (values.name, outputs.name) == ("value experts", "output experts")
    assert values.share_LHE == (((0.25, 0.75), (0.0, 1.0)), ((1.0, 0.0), (0.25, 0.75)))
    assert outputs.share_LHE == (((0.5, 0.5),) * 2,) * 2
    assert values.entropy == ((50, 0.9),)


def test_models_without_routers_and_runs_without_counts_have_none(written) -> None:
    writer, folder = written
    (folder / "router_use.json").unlink()
    assert use_of(writer) == []


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_damaged_counts_are_named(written, text: str) -> None:
    writer, folder = written
    (folder / "router_use.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=r"router_use\.json: damaged .*; remove it"):
        use_of(writer)


def test_equal_counts_give_equal_bytes(written) -> None:
    (use,) = use_of(written[0])
    assert draw_expert_use(use) == draw_expert_use(use)
