"""What the paper's figures of attention maps show: panels of trained models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from switchhead_lab.reporting.figures.attention import AttentionPanel
from switchhead_lab.reporting.report_data import ModelRow
from switchhead_lab.trained.attention_maps import LayerMaps
from switchhead_lab.trained.run import TrainedRun

DENSE, SWITCHHEAD = "dense", "SwitchHead"
"""Families of the models that figures show."""
_MOST_COLUMNS = 3


@dataclass(frozen=True)
class DrawnModel:
    """A trained model with its attention maps of the example.

    Attributes:
        row: Its row in the sweep.
        run: The run that was drawn.
        layers: Maps by layer.
    """

    row: ModelRow
    run: TrainedRun
    layers: list[LayerMaps]

    @property
    def label(self) -> str:
        """Name with heads."""
        return f"{self.row.name}, {self.row.sizes.n_heads} heads"


@dataclass(frozen=True)
class MapFigure:
    """What one figure shows.

    Attributes:
        title: Heading.
        meaning: How to read it.
        families: The models that it needs: the dense baseline, a SwitchHead.
        panels: Returns the rows of panels of these models.
    """

    title: str
    meaning: str
    families: tuple[str, ...]
    panels: Callable[[Sequence[DrawnModel]], list[list[AttentionPanel]]]


def _one_layer(drawn: Sequence[DrawnModel]) -> list[list[AttentionPanel]]:
    """Return the middle layer of each model, with the router choices of each head below."""
    number = (len(drawn[0].layers) - 1) // 2
    return [
        [_maximum(one, number, label=one.label) for one in drawn],
        *_heads_of(drawn[-1:], number),
    ]


def _all_layers(drawn: Sequence[DrawnModel]) -> list[list[AttentionPanel]]:
    return _in_rows([_maximum(one, n) for one in drawn for n in range(len(one.layers))])


def _all_heads(drawn: Sequence[DrawnModel]) -> list[list[AttentionPanel]]:
    return [row for one in drawn for n in range(len(one.layers)) for row in _heads_of([one], n)]


def _heads_of(drawn: Sequence[DrawnModel], number: int) -> list[list[AttentionPanel]]:
    """Return the maps of the heads of a layer, with what the routers chose for each."""
    panels = []
    for one in drawn:
        layer = one.layers[number]
        for head, weights in enumerate(layer.map_HTS):
            value, output = layer.value_choice_HTE, layer.output_choice_HTE
            panels.append(
                AttentionPanel(
                    f"layer {number + 1}, head {head + 1}",
                    weights,
                    None if output is None else output[head],
                    None if value is None else value[head],
                )
            )
    return _in_rows(panels)


def _maximum(one: DrawnModel, number: int, label: str = "") -> AttentionPanel:
    title = f"layer {number + 1}, maximum over heads"
    return AttentionPanel("\n".join(filter(None, (label, title))), one.layers[number].maximum_TS)


def _in_rows(panels: Sequence[AttentionPanel]) -> list[list[AttentionPanel]]:
    starts = range(0, len(panels), _MOST_COLUMNS)
    return [list(panels[start : start + _MOST_COLUMNS]) for start in starts]


_MAXIMUM = (
    "Each map shows how much a query (row) attends to a key (column): the maximum over the heads "
    "of a layer."
)
_CHOICES = (
    "Blue strips show the chosen experts of each head and their weights: of the output router "
    "beside the queries, of the value router below the keys."
)
MAP_FIGURES: Mapping[int, MapFigure] = {
    2: MapFigure(
        "attention of dense and SwitchHead on ListOps",
        f"{_MAXIMUM} The middle layer is shown, and below it each head of SwitchHead. {_CHOICES}",
        (DENSE, SWITCHHEAD),
        _one_layer,
    ),
    3: MapFigure("attention of SwitchHead on ListOps", _MAXIMUM, (SWITCHHEAD,), _all_layers),
    4: MapFigure("attention of the dense baseline on ListOps", _MAXIMUM, (DENSE,), _all_layers),
    5: MapFigure(
        "heads and router choices of SwitchHead on ListOps",
        f"Each map shows how much a query (row) attends to a key (column) in one head. {_CHOICES}",
        (SWITCHHEAD,),
        _all_heads,
    ),
}
