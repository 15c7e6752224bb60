"""Files with which the transformers library loads an export; written without that library."""

import json
from typing import Any

from switchhead_lab.config.data import TextData
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.data.tokenisation import Tokenizer
from switchhead_lab.errors import RecordError
from switchhead_lab.variants.base import Variant

_MODELING, _TOKENIZATION = "modeling_switchhead_lab", "tokenization_switchhead_lab"
HF_SOURCES = (f"{_MODELING}.py", f"{_TOKENIZATION}.py")
"""Files that are copied from the package."""
# Variants that the copied modeling file defines too.
_ATTENTION_KINDS = ("dense", "grouped_query", "switchhead", "moa")
_FEEDFORWARD_KINDS = ("dense", "sigma_moe")


def hugging_face_files(
    name: str, config: RunConfig, tokenizer: Tokenizer | None
) -> dict[str, bytes]:
    """Return the JSON files of a language model by name.

    Args:
        name: Name of the run.
        config: Its configuration.
        tokenizer: Its tokenizer.

    Raises:
        RecordError: If the model is not a causal language model with built-in layers.
    """
    _require_exportable(name, config)
    data = config.data
    assert isinstance(data, TextData), "language models are trained on text"
    assert tokenizer is not None, "text has a tokenizer"
    special = {"bos_token_id": tokenizer.end_of_document, "eos_token_id": tokenizer.end_of_document}
    kind = data.tokenizer.kind
    return {
        "config.json": _json(_model_config(config) | special),
        "generation_config.json": _json(
            # Without a padding token, generate() would warn at each call.
            {**special, "pad_token_id": tokenizer.end_of_document, "use_cache": False}
        ),
        "tokenizer_config.json": _json(
            {
                "auto_map": {"AutoTokenizer": [f"{_TOKENIZATION}.SwitchHeadLabTokenizer", None]},
                "tokenizer_class": "SwitchHeadLabTokenizer",
                "kind": kind,
            }
        ),
    }


def _model_config(config: RunConfig) -> dict[str, Any]:
    model = config.model.model_dump(mode="json", exclude={"direction"})
    return {
        "model_type": "switchhead_lab",
        "architectures": ["SwitchHeadLabForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{_MODELING}.SwitchHeadLabConfig",
            "AutoModelForCausalLM": f"{_MODELING}.SwitchHeadLabForCausalLM",
        },
        "dtype": "float32",
        "vocab_size": config.vocab_size,
        **model,
        "tie_word_embeddings": False,
        "use_cache": False,
    }


def _require_exportable(name: str, config: RunConfig) -> None:
    objective, model = config.objective, config.model
    if not objective.predicts_next_token or model.direction != "causal":
        raise RecordError(
            f'{name}: objective.kind = "{objective.kind}" with model.direction = '
            f'"{model.direction}": format hf holds causal language models only; use --format lab'
        )
    layers: dict[str, tuple[Variant, tuple[str, ...]]] = {
        "attention": (model.attention, _ATTENTION_KINDS),
        "feedforward": (model.feedforward, _FEEDFORWARD_KINDS),
    }
    for block, (layer, kinds) in layers.items():
        if layer.kind not in kinds:
            raise RecordError(
                f'{name}: model.{block}.kind = "{layer.kind}" has no definition for transformers; '
                f"format hf holds {', '.join(kinds)}; use --format lab"
            )


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode("ascii")
