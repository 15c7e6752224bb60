"""Language models of untrained runs, and requests to score."""

from collections.abc import Callable

import pytest
import torch

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.evaluation.language_models import LanguageModel
from switchhead_lab.model.transformer import Transformer
from switchhead_lab.trained.next_token_model import TransformerReader

MakeModel = Callable[..., LanguageModel]


@pytest.fixture
def make_model(tiny_config: Callable[..., RunConfig]) -> MakeModel:
    """Make a byte-level model with large random weights, so that predictions differ clearly."""

    def make(attention: str = "dense", positions: str = "xl", context_multiple: int = 2):
        tree = tiny_config(attention).model_dump(mode="json")
        tree["model"] |= {
            "positions": {"kind": {"xl": "transformer_xl", "rope": "rope"}[positions]},
            "context_multiple": context_multiple,
        }
        config = RunConfig.model_validate(tree)
        model = Transformer(config.model, config.vocab_size, config.n_outputs)
        model.reset_parameters(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        return LanguageModel(
            name=f"{attention}-{positions}",
            weights_id="w" * 64,
            tokenizer_id="t" * 64,
            precision="fp32",
            next_token=TransformerReader(model.eval(), "fp32"),
            prefix=0,
            end=0,
            encode_all=lambda texts: [list(text.encode()) for text in texts],
            decode=lambda tokens: bytes(tokens).decode(errors="replace"),
        )

    return make
