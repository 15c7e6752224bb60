"""Whether a configured model has as many parameters as its variants count."""

import torch

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.errors import ContractError
from switchhead_lab.model.transformer import Transformer


def require_counted_size(model: ModelConfig, vocab_size: int, n_outputs: int) -> None:
    """Check before training that the budget counts the parameters of the model that is trained.

    Args:
        model: Architecture.
        vocab_size: Number of tokens.
        n_outputs: Width of the output layer.

    Raises:
        ContractError: If it does not: a variant counts its parameters wrongly.
    """
    sizes = vocab_size, n_outputs
    counted = count_parameters(model, *sizes).total
    with torch.device("meta"):
        built = Transformer(model, *sizes)
    n_built = sum(parameter.numel() for parameter in built.parameters())
    if n_built != counted:
        kinds = dict.fromkeys((model.attention.kind, model.feedforward.kind))
        checks = " or ".join(f"`lab check-variant {kind}`" for kind in kinds)
        raise ContractError(
            f"the model has {n_built:,} parameters, but its variants count {counted:,}, so it "
            f"would be matched to a wrong budget; correct parameter_parts of "
            f"{' or '.join(kinds)} ({checks} names the parameter)"
        )
