"""Costs by name and convention: axes of figures and columns of tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.budget.model_costs import ModelCosts
from switchhead_lab.config.cost_names import WITH_CONVENTION, parse_cost
from switchhead_lab.errors import ConfigError

Unit = Literal["MACs", "floats", "parameters"]


@dataclass(frozen=True)
class CostKind:
    """A cost of a model, independent of the convention.

    Attributes:
        name: Name on the command line and in file names.
        label: Name in print, with what it refers to.
        unit: Unit of the count.
        read: Returns the cost by a convention; None if the convention does not define it.
    """

    name: str
    label: str
    unit: Unit
    read: Callable[[ModelCosts, str], float | None]

    @property
    def has_convention(self) -> bool:
        """Whether it depends on the convention."""
        return self.name in WITH_CONVENTION


ATTENTION_MACS = CostKind(
    "attention-macs", "attention MACs per layer and sequence", "MACs", ModelCosts.attention_macs
)
LAYER_MACS = CostKind(
    "layer-macs",
    "attention and feed-forward MACs per layer and sequence",
    "MACs",
    ModelCosts.layer_macs,
)
MODEL_MACS = CostKind(
    "model-macs", "MACs of the whole model per token", "MACs", ModelCosts.model_macs_per_token
)
ATTENTION_MEMORY = CostKind(
    "attention-memory",
    "attention memory per layer and sequence",
    "floats",
    ModelCosts.attention_saved_floats,
)
MODEL_MEMORY = CostKind(
    "model-memory",
    "memory of all attention and feed-forward blocks per sequence",
    "floats",
    ModelCosts.model_saved_floats,
)
PARAMETERS = CostKind(
    "parameters",
    "parameters",
    "parameters",
    lambda costs, _: costs.n_parameters,
)
ACTIVE_PARAMETERS = CostKind(
    "active-parameters",
    "active parameters per token",
    "parameters",
    lambda costs, _: costs.n_active_parameters,
)
COST_KINDS = (
    *(ATTENTION_MACS, LAYER_MACS, MODEL_MACS, ATTENTION_MEMORY, MODEL_MEMORY),
    *(PARAMETERS, ACTIVE_PARAMETERS),
)


@dataclass(frozen=True)
class CostAxis:
    """A cost by one convention.

    Attributes:
        kind: The cost.
        convention: The convention; empty for a cost without conventions.
    """

    kind: CostKind
    convention: str

    @property
    def key(self) -> str:
        """Name in CSV: "model_macs_executed"."""
        return "_".join(filter(None, (self.kind.name.replace("-", "_"), self.convention)))

    @property
    def label(self) -> str:
        """Axis label; format it with `unit`, an SI prefix such as "k " or "M "."""
        kind, convention = self.kind, self.convention
        if kind.unit == "parameters":
            return f"{kind.label} ({{unit}}parameters)"
        return f"{kind.label} ({{unit}}{kind.unit}, {convention} convention)"

    def read(self, costs: ModelCosts) -> float | None:
        """Return the cost of a model; None if the convention does not define it."""
        return self.kind.read(costs, self.convention)


def axis_of(kind: CostKind, convention: str) -> CostAxis:
    """Return the axis of a cost, which ignores the convention if the cost has none."""
    return CostAxis(kind, convention if kind.has_convention else "")


def find_axis(text: str, default_convention: str, also: tuple[str, ...] = ()) -> CostAxis:
    """Parse the name of a cost, such as "model-macs" or "model-macs:executed".

    Args:
        text: Name, optionally with a convention after a colon.
        default_convention: Convention if none is given.
        also: Further names that would do, for errors.

    Raises:
        ConfigError: If the cost or convention does not exist, or the cost has no conventions.
    """
    try:
        name, convention = parse_cost(text, "axis", also)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    kind = next(kind for kind in COST_KINDS if kind.name == name)
    return axis_of(kind, convention or default_convention)
