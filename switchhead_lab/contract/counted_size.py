"""Whether a configured model has as many parameters as its variants count."""

import torch

from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ContractError
from switchhead_lab.model.transformer import Transformer


def require_counted_size(config: RunConfig) -> None:
    """Check before training that the budget counts the parameters of the model that is trained.

    Raises:
        ContractError: If it does not: a variant counts its parameters wrongly.
    """
    model, sizes = config.model, (config.vocab_size, config.n_outputs)
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
