"""Use of experts, counted from returned choices; modules keep no counts.

Letters: N tokens, H heads, E experts per head, K chosen per token.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from switchhead_lab.model.router import RoutingDecision

VALUE_ROUTER, OUTPUT_ROUTER = "value_router", "output_router"


@dataclass(frozen=True)
class RouterUse:
    """How often the experts of each router were chosen.

    Attributes:
        counts_HE: Choices, by router, shape [H, E], int64.
        together_HEE: How often a token's value expert (first) and output expert (second) were
            chosen together, by attention layer with both routers, [H, E, E], int64.
        n_tokens: Tokens counted, by router.
    """

    counts_HE: Mapping[str, Tensor]
    together_HEE: Mapping[str, Tensor]
    n_tokens: Mapping[str, int]

    def plus(self, other: "RouterUse") -> "RouterUse":
        """Return the sum of two counts."""
        return RouterUse(
            _sum(self.counts_HE, other.counts_HE),
            _sum(self.together_HEE, other.together_HEE),
            _sum(self.n_tokens, other.n_tokens),
        )

    def metrics(self) -> dict[str, float]:
        """Return means over layers and heads, by kind of router.

        `router/KIND/use_entropy` is the entropy of the experts' use, divided by its maximum, log E:
        1 for even use, 0 for a single expert. `router/KIND/dead_experts` is the fraction of
        experts never chosen.
        """
        values: dict[str, list[float]] = {}
        for router, counts_HE in self.counts_HE.items():
            kind = ".".join(router.split(".")[2:])
            for counts_E in counts_HE:
                dead = float((counts_E == 0).double().mean())
                values.setdefault(f"router/{kind}/use_entropy", []).append(use_entropy(counts_E))
                values.setdefault(f"router/{kind}/dead_experts", []).append(dead)
        return {name: statistics.fmean(numbers) for name, numbers in values.items()}

    def as_data(self) -> dict[str, Any]:
        """Return the counts as plain data, by router and layer."""
        return {
            "n_tokens": dict(self.n_tokens),
            "counts": {name: counts.tolist() for name, counts in self.counts_HE.items()},
            "value_and_output_together": {
                name: counts.tolist() for name, counts in self.together_HEE.items()
            },
        }

    @classmethod
    def from_data(cls, values: Mapping[str, Any]) -> "RouterUse":
        """Return what `as_data` wrote."""
        counts, together = (
            {name: torch.tensor(numbers, dtype=torch.int64) for name, numbers in part.items()}
            for part in (values["counts"], values["value_and_output_together"])
        )
        return cls(counts, together, dict(values["n_tokens"]))


NO_USE = RouterUse({}, {}, {})


def count_use(choices: Mapping[str, RoutingDecision], batch_size: int) -> RouterUse:
    """Count the choices of one forward pass.

    Args:
        choices: Choices by router, as a model returns them.
        batch_size: Sequences of the batch.
    """
    chosen = {name: _is_chosen(choice) for name, choice in choices.items()}
    together = {}
    for name, output_NHE in chosen.items():
        layer, _, router = name.rpartition(".")
        source = f"{layer}.{VALUE_ROUTER}"
        if router == OUTPUT_ROUTER and source in choices:
            value_NHE = chosen[source]
            # Only memory gives the source side more positions, and memory has no padding.
            if len(value_NHE) > len(output_NHE):
                n_positions = len(output_NHE) // batch_size
                value_NHE = _is_chosen(choices[source].last_positions(batch_size, n_positions))
            pairs = torch.einsum("nhe,nhf->hef", value_NHE, output_NHE)
            together[layer] = pairs.long().cpu()
    return RouterUse(
        {name: chosen_NHE.sum(dim=0).long().cpu() for name, chosen_NHE in chosen.items()},
        together,
        {name: chosen_NHE.shape[0] for name, chosen_NHE in chosen.items()},
    )


def use_entropy(counts_E: Tensor) -> float:
    """Return the entropy of a use distribution divided by log E; 1 for a single expert."""
    if len(counts_E) == 1:
        return 1.0
    share_E = counts_E.double() / counts_E.sum().clamp_min(1)
    return float(torch.special.entr(share_E).sum()) / math.log(len(counts_E))


def _is_chosen(choice: RoutingDecision) -> Tensor:
    """Return 1 where an expert was chosen, [N, H, E], float64 for exact sums."""
    chosen = torch.zeros_like(choice.logits_NHE, dtype=torch.float64)
    return chosen.scatter(-1, choice.index_NHK, 1.0)


def _sum(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    total = {**first}
    for key, value in second.items():
        total[key] = total[key] + value if key in total else value
    return total
