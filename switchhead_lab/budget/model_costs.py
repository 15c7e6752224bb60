"""Costs of a whole model, in every convention that defines them.

Attention and feed-forward block are counted separately, for one layer and one sequence. The paper
counts attention only; for feed-forward blocks `equations` and `published` count the MACs of their
matmuls (including the router's) and the floats between them. A model's MACs add the output layer,
d_model times the number of outputs per token; the embedding is a lookup without MACs. MACs and
memory exclude norms, biases, activation functions, residuals and the loss.
"""

from collections.abc import Callable, Iterable

from switchhead_lab.budget.counter import CostCounter
from switchhead_lab.budget.parameters import active_parameters, count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import UndefinedCostError
from switchhead_lab.frozen_model import FrozenModel


class BlockCosts(FrozenModel):
    """Costs of one block for one sequence, forward."""

    macs: int
    """Multiply-accumulates."""
    saved_floats: int
    """Floats saved for the backward pass."""


class ModelCosts(FrozenModel):
    """Size and costs of a model.

    Costs that a convention does not define are None, never zero.
    """

    convention: str
    """The convention of the sweep's matching and searches; empty outside of sweeps."""
    n_layers: int
    """Layers."""
    seq_len: int
    """Tokens of a sequence."""
    n_parameters: int
    """Parameters of the whole model."""
    n_active_parameters: int
    """Parameters used by one token: chosen experts, its embedding row, the rest."""
    output_macs_per_token: int
    """Multiply-accumulates of the output layer (the logits) per token."""
    attention: dict[str, BlockCosts]
    """Costs of one attention layer by convention, if defined."""
    feedforward: dict[str, BlockCosts]
    """Costs of one feed-forward block by convention, if defined."""

    @property
    def macs(self) -> int:
        """MACs of one attention layer, one sequence, by the sweep's convention."""
        return self.attention[self.convention].macs

    @property
    def memory_floats(self) -> int:
        """Floats saved by one attention layer, one sequence, by the sweep's convention."""
        return self.attention[self.convention].saved_floats

    @property
    def matched_layer_macs(self) -> int:
        """MACs of attention and feed-forward block, one sequence, by the sweep's convention."""
        return self.attention[self.convention].macs + self.feedforward[self.convention].macs

    @property
    def conventions(self) -> list[str]:
        """Conventions that define the costs of both blocks."""
        return [name for name in self.attention if name in self.feedforward]

    def attention_macs(self, convention: str) -> int | None:
        """Return the MACs of one attention layer, one sequence."""
        block = self.attention.get(convention)
        return None if block is None else block.macs

    def layer_macs(self, convention: str) -> int | None:
        """Return the MACs of one attention layer and its feed-forward block, one sequence."""
        return self._of_layer(convention, lambda block: block.macs)

    def model_macs(self, convention: str) -> int | None:
        """Return the MACs of all layers and the output layer, one sequence."""
        layer = self.layer_macs(convention)
        if layer is None:
            return None
        return self.n_layers * layer + self.seq_len * self.output_macs_per_token

    def model_macs_per_token(self, convention: str) -> float | None:
        """Return the MACs of all layers and the output layer per token of a sequence."""
        macs = self.model_macs(convention)
        return None if macs is None else macs / self.seq_len

    def attention_saved_floats(self, convention: str) -> int | None:
        """Return the floats that one attention layer saves, one sequence."""
        block = self.attention.get(convention)
        return None if block is None else block.saved_floats

    def layer_saved_floats(self, convention: str) -> int | None:
        """Return the floats that attention and feed-forward block save, one sequence."""
        return self._of_layer(convention, lambda block: block.saved_floats)

    def model_saved_floats(self, convention: str) -> int | None:
        """Return the floats that the blocks of all layers save, one sequence."""
        layer = self.layer_saved_floats(convention)
        return None if layer is None else self.n_layers * layer

    def by_convention(self) -> dict[str, dict[str, float | None]]:
        """Return all costs as plain data, by convention."""
        return {
            name: {
                "attention_macs_per_layer": self.attention_macs(name),
                "layer_macs": self.layer_macs(name),
                "model_macs": self.model_macs(name),
                "model_macs_per_token": self.model_macs_per_token(name),
                "attention_memory_floats_per_layer": self.attention_saved_floats(name),
                "layer_memory_floats": self.layer_saved_floats(name),
                "model_memory_floats": self.model_saved_floats(name),
            }
            for name in dict.fromkeys((*self.attention, *self.feedforward))
        }

    def _of_layer(self, convention: str, read: Callable[[BlockCosts], int]) -> int | None:
        if convention not in self.conventions:
            return None
        return read(self.attention[convention]) + read(self.feedforward[convention])


def count_costs(
    model: ModelConfig,
    counters: Iterable[CostCounter],
    vocab_size: int,
    n_outputs: int | None = None,
    *,
    convention: str = "",
) -> ModelCosts:
    """Count the costs of a model in every convention that defines them.

    Args:
        model: Architecture.
        counters: Counters by convention; blocks that a convention does not define are skipped.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; by default vocab_size.
        convention: The convention of the sweep's matching; empty outside of sweeps.

    Raises:
        UndefinedCostError: If the sweep's own convention does not define a block's cost.
    """
    n_outputs = vocab_size if n_outputs is None else n_outputs
    attention: dict[str, BlockCosts] = {}
    feedforward: dict[str, BlockCosts] = {}
    for counter in counters:
        for block, count in ((attention, counter.attention), (feedforward, counter.feedforward)):
            try:
                cost = count(model)
            except UndefinedCostError:
                if counter.convention == convention:
                    raise
                continue
            block[counter.convention] = BlockCosts(macs=cost.macs, saved_floats=cost.saved_floats)
    return ModelCosts(
        convention=convention,
        n_layers=model.n_layers,
        seq_len=model.seq_len,
        n_parameters=count_parameters(model, vocab_size, n_outputs).total,
        n_active_parameters=active_parameters(model, vocab_size, n_outputs),
        output_macs_per_token=model.d_model * n_outputs,
        attention=attention,
        feedforward=feedforward,
    )
