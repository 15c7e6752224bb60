"""Parsing of cost names."""

import pytest

from switchhead_lab.budget.cost_axes import COST_KINDS, find_axis
from switchhead_lab.errors import ConfigError


def test_the_sweeps_convention_unless_another_is_named() -> None:
    axis = find_axis("model-macs", "published")
    assert (axis.kind.name, axis.convention, axis.key) == (
        *("model-macs", "published", "model_macs_published"),
    )
    assert axis.label == "MACs of the whole model per token ({unit}MACs, published convention)"
    assert find_axis("model-macs:executed", "published").convention == "executed"
    parameters = find_axis("active-parameters", "published")
    assert (parameters.convention, parameters.key) == ("", "active_parameters")
    assert parameters.label == "active parameters per token ({unit}parameters)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modle-macs", r'axis "modle-macs" \(did you mean "model-macs"\?\): use attention-macs, '),
        ("macs:executed", "use attention-macs, layer-macs, model-macs, attention-memory, "),
        (
            "layer-macs:exectued",
            r'\(did you mean "executed"\?\): conventions: equations, published',
        ),
        ("parameters:published", "the same by every convention; use parameters"),
        ("layer-macs:", "conventions: equations, published, executed"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        find_axis(text, "published")


def test_names_are_distinct() -> None:
    assert len({kind.name for kind in COST_KINDS}) == len({kind.label for kind in COST_KINDS}) == 7
