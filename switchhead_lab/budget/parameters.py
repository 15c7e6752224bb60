"""Closed-form parameter counts, part by part.

Parts are named like the parameters of the built model, without the layer number
(`blocks.attention.query_weight` sums over all layers), so that they can be compared one by one.

Letters: D d_model, V vocab_size, C n_outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from switchhead_lab.config.architecture import ModelConfig


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model.

    Attributes:
        parts: Parameters by part, all layers together.
    """

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parts.values())

    @property
    def embedding(self) -> int:
        """Parameters of the input embedding."""
        return self.parts["embedding.weight"]


def count_parameters(
    model: ModelConfig, vocab_size: int, n_outputs: int | None = None
) -> ParameterCount:
    """Count the parameters of a model.

    Source: SwitchHead (arXiv:2312.07987), Sec. 2.2 and A.5; the output layer is untied.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; by default vocab_size.
    """
    D, V = model.d_model, vocab_size
    C = vocab_size if n_outputs is None else n_outputs
    per_layer = {
        **_norm("attention_norm", D),
        **_prefixed("attention", model.attention.parameter_parts(model.layer)),
        **_norm("feedforward_norm", D),
        **_prefixed("feedforward", model.feedforward.parameter_parts(model.layer)),
    }
    return ParameterCount(
        {
            "embedding.weight": V * D,
            **{f"blocks.{name}": model.n_layers * count for name, count in per_layer.items()},
            **_norm("final_norm", D),
            "output.weight": C * D,
            "output.bias": C,
        }
    )


def active_parameters(model: ModelConfig, vocab_size: int, n_outputs: int | None = None) -> int:
    """Count the parameters used by one token: chosen experts, its embedding row, the rest.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer; by default vocab_size.
    """
    layer = model.layer
    idle = sum(
        sum(variant.parameter_parts(layer).values()) - variant.active_parameters(layer)
        for variant in (model.attention, model.feedforward)
    )
    unread = (vocab_size - 1) * model.d_model
    return count_parameters(model, vocab_size, n_outputs).total - model.n_layers * idle - unread


def _norm(name: str, width: int) -> dict[str, int]:
    return {f"{name}.weight": width, f"{name}.bias": width}


def _prefixed(prefix: str, parts: Mapping[str, int]) -> dict[str, int]:
    return {f"{prefix}.{name}": count for name, count in parts.items()}
