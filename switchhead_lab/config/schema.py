"""The schema of one training run.

Every class is frozen and refuses unknown keys.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.part import Part


class SentencePieceTokenizer(Part):
    """SentencePiece unigram model trained on the training split, with byte fallback."""

    kind: Literal["sentencepiece"] = "sentencepiece"
    vocab_size: int = Field(default=2048, ge=300, le=65_535)
    """Number of pieces, 256 byte pieces included."""


class ByteTokenizer(Part):
    """One token per UTF-8 byte; byte 0, which text cannot hold, ends a document."""

    kind: Literal["byte"] = "byte"

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary: every byte value."""
        return 256


class CharTokenizer(Part):
    """One token per character; the most frequent of the training split, the others unknown."""

    kind: Literal["char"] = "char"
    vocab_size: int = Field(default=256, ge=3, le=65_535)
    """Number of tokens, of which two are reserved: unknown character and end of document."""


TokenizerConfig = Annotated[
    SentencePieceTokenizer | ByteTokenizer | CharTokenizer, Field(discriminator="kind")
]


class DataConfig(Part):
    """Which text, cut into which tokens."""

    corpus: str = Field(default="sotu", pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=40)
    """Name of a corpus (`lab data list`): lower-case letters, digits and underscores."""
    tokenizer: TokenizerConfig = SentencePieceTokenizer()
    """Tokenizer, trained on the training split only."""
    max_train_tokens: int = Field(default=0, ge=0, exclude_if=lambda limit: limit == 0)
    """Use the first so many tokens of the training split, 0 for all; the paper takes the first
    steps * T * batch_size of C4 and peS2o. Absent where 0, so identities do not depend on it."""


class TrainingConfig(Part):
    """How a model is trained; the same for every model of a comparison."""

    n_steps: int = Field(ge=1)
    """Optimiser steps."""
    batch_size: int = Field(ge=1)
    """Sequences per optimiser step."""
    micro_batch_size: int = Field(ge=1)
    """Sequences per forward and backward pass; divides `batch_size`, equal to it by default."""
    learning_rate: float = Field(gt=0.0)
    """Peak learning rate."""
    n_warmup_steps: int = Field(default=0, ge=0)
    """Steps of linear warm-up before the cosine."""
    final_lr_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Learning rate at the last step as a fraction of the peak."""
    clip_norm: float = Field(gt=0.0)
    """Largest global gradient norm (the paper's kappa)."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW's decoupled weight decay."""
    adam_beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of AdamW's first moment."""
    adam_beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of AdamW's second moment."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the products: "auto" is bf16 where the device has it, else fp32."""
    validate_every: int = Field(ge=1)
    """Steps between two passes over the validation split."""
    checkpoint_every: int = Field(ge=1)
    """Steps between two checkpoints."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two records of the training loss."""

    @model_validator(mode="before")
    @classmethod
    def _whole_batch_by_default(cls, values: Any) -> Any:
        if isinstance(values, dict) and "batch_size" in values:
            return {"micro_batch_size": values["batch_size"], **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size={self.micro_batch_size} does not divide "
                f"batch_size={self.batch_size}; use a divisor"
            )
        if self.n_warmup_steps >= self.n_steps:
            raise ValueError(
                f"n_warmup_steps={self.n_warmup_steps} but n_steps={self.n_steps}; "
                f"use a warm-up in 0..{self.n_steps - 1}"
            )
        return self


class RunConfig(Part):
    """One training run, complete: whatever can change its result is in here."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initialisation, dropout and the order of the batches."""
    data: DataConfig
    """Text and tokenizer."""
    model: ModelConfig
    """Architecture."""
    training: TrainingConfig
    """Optimisation."""

    @property
    def vocab_size(self) -> int:
        """Vocabulary of the model, which is that of its tokenizer."""
        return self.data.tokenizer.vocab_size

    @property
    def tokens_per_step(self) -> int:
        """Tokens predicted in one optimiser step."""
        return self.training.batch_size * self.model.seq_len
