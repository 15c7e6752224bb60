"""Every printed cost of the paper, against the `published` convention and the built models."""

import pytest
import torch

from switchhead_lab.budget.costs import attention_macs, attention_memory_floats
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.paper.figures import parse_count, prints_as
from switchhead_lab.paper.models import PrintedModel, printed_models

PRINTED = list(printed_models())


def test_there_are_55_cost_rows() -> None:
    assert len(PRINTED) == 55


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed.label)
def test_published_reproduces_macs_and_memory(printed: PrintedModel) -> None:
    # Table 3 prints 202M for an attention layer of which Table 2 prints 203M: 202,506,240 MACs.
    is_truncated = printed.table == 3 and printed.row["macs"] == "202M"
    macs = "203M" if is_truncated else printed.row["macs"]
    assert prints_as(attention_macs(printed.model, "published"), macs)
    assert prints_as(attention_memory_floats(printed.model, "published"), printed.row["mem"])


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed.label)
def test_the_built_model_has_the_printed_size(printed: PrintedModel) -> None:
    with torch.device("meta"):
        built = Transformer(printed.model, printed.vocab_size)
    total = sum(parameter.numel() for parameter in built.parameters())
    assert total == count_parameters(printed.model, printed.vocab_size).total
    # The 262M SwitchAll has 259M parameters, and the 244M RoPE SwitchHead 243M; the tables
    # print the size of their dense baseline.
    sizes = {printed.row["params"]}
    if printed.row["model"] == "switchall":
        sizes |= {259} if printed.row["params"] == 262 else set()
    if printed.row["model"].endswith("-rope"):
        sizes |= {243} if printed.row["params"] == 244 else set()
    assert round(total / 1e6) in sizes, total


@pytest.mark.parametrize(
    ("value", "printed", "same"),
    [
        (170_364_928, "170.4M", True),
        (170_300_000, "170.4M", False),
        (202_506_240, "203M", True),
        (202_506_240, "202M", False),
        (202_500_000, "202M", True),
        (202_600_000, "202M", False),
        (2_358_116_352, "2.4G", True),
        (21, "21", True),
    ],
)
def test_rounding_to_the_printed_precision(value: int, printed: str, same: bool) -> None:
    assert prints_as(value, printed) is same


def test_counts_are_read_with_their_unit() -> None:
    assert parse_count("170.4M") == 170_400_000
    assert parse_count("2.0G") == 2e9
    with pytest.raises(ValueError, match="write it like"):
        parse_count("12 M")
