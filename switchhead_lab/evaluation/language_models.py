"""Language models that can be evaluated: trained runs, and local Hugging Face checkpoints."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.trained.next_token_model import NextTokenModel, TransformerReader
from switchhead_lab.trained.opened_run import Checkpoint, OpenedRun
from switchhead_lab.training.compute_setup import prepare_setup

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
HF_PREFIX = "hf:"
"""Start of the name of a Hugging Face checkpoint."""


@dataclass(frozen=True)
class LanguageModel:
    """A language model with its tokenizer.

    Attributes:
        name: Its name in tables.
        weights_id: Identity of its weights, 64 hex digits.
        tokenizer_id: Identity of its tokenizer, 64 hex digits.
        precision: Precision of matmuls.
        next_token: The model.
        prefix: Token before the start of a text.
        end: Token that ends a text.
        encode_all: Returns the tokens of each text, without prefix.
        decode: Returns the text of tokens.
    """

    name: str
    weights_id: str
    tokenizer_id: str
    precision: str
    next_token: NextTokenModel
    prefix: int
    end: int
    encode_all: Callable[[Sequence[str]], list[list[int]]]
    decode: Callable[[Sequence[int]], str]

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without prefix."""
        return self.encode_all([text])[0]


def model_of_run(
    run: OpenedRun,
    *,
    device: str = "",
    precision: Precision = "fp32",
    checkpoint: Checkpoint = "last",
) -> LanguageModel:
    """Return the language model of a trained run.

    Args:
        run: A language model with a checkpoint.
        device: Device to compute on; by default that of lab.toml.
        precision: float32 by default, so that likelihoods do not depend on the batch.
        checkpoint: Checkpoint to load.

    Raises:
        ConfigError: If the device is not available or does not support the precision.
        DataError: If the tokenizer is missing and cannot be prepared.
        RecordError: If the run is not a language model, or its checkpoint or data are unusable.
    """
    run.require_language_model()
    tokenizer = run.tokenizer()
    setup = prepare_setup(run.setup(device).device.type, precision)
    model = run.model(setup.device.type, checkpoint)
    return LanguageModel(
        name=run.name,
        weights_id=weights_id_of(model.state_dict()),
        tokenizer_id=hashlib.sha256(tokenizer.to_bytes()).hexdigest(),
        precision=setup.precision,
        next_token=TransformerReader(model, setup.precision),
        # In training, a document is preceded by the end of the previous one.
        prefix=tokenizer.end_of_document,
        end=tokenizer.end_of_document,
        encode_all=lambda texts: [ids.tolist() for ids in tokenizer.encode_all(texts)],
        decode=tokenizer.decode,
    )


def model_of_checkpoint(
    path: Path, *, device: str = "auto", precision: Precision = "fp32"
) -> LanguageModel:
    """Return the language model of a local Hugging Face checkpoint.

    Args:
        path: Folder with config.json, weights and tokenizer, as `save_pretrained` writes it.
        device: Device to compute on.
        precision: Precision of matmuls.

    Raises:
        ConfigError: If transformers is not installed, or the device is not available.
        RecordError: If the folder holds no causal language model with a tokenizer.
    """
    if not (path / "config.json").is_file():
        raise RecordError(
            f"{path}: no Hugging Face checkpoint (no config.json); give the folder that "
            "`save_pretrained` wrote"
        )
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise ConfigError(
            f"{HF_PREFIX}{path}: needs the package transformers; install switchhead_lab[hf]"
        ) from None
    setup = prepare_setup(device, precision)
    try:
        # Without the second, transformers would ask on the terminal whether to run code from there.
        safely = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(path, **safely)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **safely)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RecordError(f"{path}: cannot be loaded by transformers: {reason}") from None
    end = tokenizer.eos_token_id
    prefix = end if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if end is None:
        raise RecordError(f"{path}: its tokenizer has no end-of-text token, which scoring needs")
    return LanguageModel(
        name=path.name,
        weights_id=weights_id_of(model.state_dict()),
        tokenizer_id=hashlib.sha256(
            repr(sorted(tokenizer.get_vocab().items())).encode()
        ).hexdigest(),
        precision=setup.precision,
        next_token=_HuggingFaceReader(model.to(setup.device).eval(), setup.precision),
        prefix=prefix,
        end=end,
        encode_all=lambda texts: _input_ids(tokenizer, texts),
        decode=lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=True)),
    )


def _input_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    # It rejects an empty list.
    ids = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [list(one) for one in ids]


class _HuggingFaceReader:
    """A causal language model of transformers; its memory is the cache of keys and values."""

    seq_len = 256

    def __init__(self, model: Any, precision: str) -> None:
        self._body, self._output = model.base_model, model.get_output_embeddings()
        self._is_bf16 = precision == "bf16"
        self.window = int(model.config.max_position_embeddings)
        self.device = next(model.parameters()).device

    def read(self, tokens_BT: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """Return hidden states [B, T, D] and the cache for the next chunk."""
        with self._autocast():
            output = self._body(tokens_BT, cache=memory, use_cache=True)
        return output.last_hidden_state, output.cache

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """Return predictions of the next token, shape [N, V]."""
        with self._autocast():
            predictions: Tensor = self._output(hidden_ND)
        return predictions

    def take(self, memory: Any, rows: Sequence[int]) -> Any:
        """Return the cache of some sequences of a batch, which may repeat."""
        taken = copy.deepcopy(memory)
        taken.batch_select_indices(torch.tensor(list(rows), device=self.device))
        return taken

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._is_bf16)


def weights_id_of(weights: Mapping[str, Tensor]) -> str:
    """Return the identity of weights, 64 hex digits: a hash of their names and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
