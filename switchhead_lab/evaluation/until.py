"""Generation up to a stop text, as lm-evaluation-harness asks for it."""

from collections.abc import Mapping
from typing import Any

import torch

from switchhead_lab.errors import ConfigError
from switchhead_lab.evaluation.language_models import LanguageModel
from switchhead_lab.trained.generation import Sampling, TokenReader, choose_token

MAX_TOKENS = 256
"""Most new tokens if a request does not say."""


@torch.inference_mode()
def generate_until(model: LanguageModel, context: str, options: Mapping[str, Any]) -> str:
    """Return the continuation of a context, without the stop text that ended it.

    Args:
        model: The model.
        context: May be empty.
        options: The harness's `generation_kwargs`: `until` (stop texts), `max_gen_toks`,
            `temperature`, `top_p`, `do_sample`; greedy unless it samples.

    Raises:
        ConfigError: If a value is out of range.
    """
    stops = options.get("until") or []
    stops = [stops] if isinstance(stops, str) else [stop for stop in stops if stop]
    samples = bool(options.get("do_sample", options.get("temperature", 0.0) > 0.0))
    sampling = Sampling(
        n_tokens=_count(options.get("max_gen_toks", MAX_TOKENS)),
        temperature=float(options.get("temperature", 1.0)) if samples else 0.0,
        top_p=float(options.get("top_p", 1.0)) if samples else 1.0,
    )
    reader = TokenReader(model.next_token)
    for token in (model.prefix, *model.encode(context)):
        reader.read(token)
    generator = torch.Generator().manual_seed(sampling.seed)
    tokens: list[int] = []
    text = ""
    for _ in range(sampling.n_tokens):
        token = choose_token(reader.predict(), sampling, generator)
        if token == model.end:
            break
        tokens.append(token)
        reader.read(token)
        text = model.decode(tokens)
        if found := [text.index(stop) for stop in stops if stop in text]:
            return text[: min(found)]
    return text


def _count(value: Any) -> int:
    if not isinstance(value, int):
        raise ConfigError(f"max_gen_toks = {value!r}: use an integer of 1 or more")
    return value
