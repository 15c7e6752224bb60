"""Claims that a sweep states: which model is as good as which other one, and how much cheaper."""

from collections.abc import Iterable, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.cost_names import parse_cost
from switchhead_lab.config.files import near_miss
from switchhead_lab.config.names import ModelName
from switchhead_lab.frozen_model import FrozenModel

TIME = "time"
"""Name of the cost that is measured rather than counted: the time of a training step."""
_SHORT_NAMES = {"macs": "attention-macs", "memory": "attention-memory"}
_MOST_SEEDS = 1000


class QualityClaim(FrozenModel):
    """A statement about the difference of two models' quality, over seeds."""

    kind: Literal["equivalent", "not_worse", "better"] = "equivalent"
    """"equivalent": the true difference is smaller than the margin in both directions;
    "not_worse": it is worse by less than the margin; "better": it is better by more."""
    metric: str = ""
    """Split and metric, e.g. "validation/loss", by default the objective's own on validation; or a
    metric of the sweep's evaluation by its name in MLflow, e.g. "evaluation/blimp/accuracy"."""
    margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Margin in the unit of the metric as recorded: nats for losses, fractions for accuracies."""

    @model_validator(mode="after")
    def _margin_is_given(self) -> Self:
        if self.margin == 0.0 and self.kind != "better":
            raise ValueError(
                f'quality.kind = "{self.kind}" needs a margin above 0, the largest difference that '
                "does not matter, e.g. margin = 0.01"
            )
        return self


class Claim(FrozenModel):
    """One claim of a sweep: all its parts must hold."""

    name: ModelName | None = Field(default=None, exclude_if=lambda name: name is None)
    """Name in reports; by default `<model>-vs-<versus>`."""
    model: str
    """The model that the claim is about: a model or a study of the sweep."""
    versus: str = ""
    """The model it is compared with; by default the baseline."""
    quality: QualityClaim | None = None
    """Statement about quality; None for a claim about costs only."""
    cost: dict[str, float] = {}
    """Largest ratio of each cost to that of the other model: counted costs by name, optionally with
    a convention, as in "model-macs:executed"; "macs" and "memory" are those of attention; "time" is
    the time of a training step."""
    alpha: float = Field(default=0.05, gt=0.0, le=0.2)
    """Probability that any false claim of the sweep is called supported; equal in all of them."""
    max_seeds: int = Field(default=12, ge=2, le=_MOST_SEEDS)
    """Most seeds of each model that the claim may use."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.quality is None and not self.cost:
            raise ValueError(
                "a claim needs a quality, a cost, or both, e.g. "
                'quality = { margin = 0.01 }, cost = { "model-macs:executed" = 0.9 }'
            )
        for name, ratio in self.cost.items():
            if not 0.0 < ratio < float("inf"):
                raise ValueError(f"cost.{name} = {ratio:g}: write a ratio above 0, e.g. 0.7")
            if name != TIME:
                parse_cost(_SHORT_NAMES.get(name, name), "cost")
        return self

    @property
    def title(self) -> str:
        """Its name in reports."""
        return self.name or f"{self.model}-vs-{self.versus}"

    @property
    def counted_costs(self) -> dict[str, float]:
        """Largest ratio of each counted cost, by its full name."""
        return {_SHORT_NAMES.get(k, k): ratio for k, ratio in self.cost.items() if k != TIME}


def complete_claims(claims: Sequence[Claim], models: Iterable[str], baseline: str) -> list[Claim]:
    """Return claims with the model that each compares with filled in.

    Args:
        claims: As declared.
        models: Models and studies of the sweep.
        baseline: Name of its baseline.

    Raises:
        ValueError: If a model is unknown, compared with itself, or two claims have one name.
    """
    known, complete = list(models), []
    for claim in claims:
        versus = claim.versus or baseline
        for field, name in (("model", claim.model), ("versus", versus)):
            if name not in known:
                raise ValueError(
                    f'claims: {field} = "{name}"{near_miss(name, known)}: no such model; models: '
                    f"{', '.join(known)}"
                )
        if claim.model == versus:
            raise ValueError(f'claims: "{versus}" is compared with itself; choose another versus')
        complete.append(claim.model_copy(update={"versus": versus}))
    if len({claim.alpha for claim in claims}) > 1:
        raise ValueError("claims: alpha differs; it bounds the error of all of them, so use one")
    names = [claim.title for claim in complete]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'claims: two are named "{name}"; give each its own name')
    return complete
