"""The schema of one training run.

Every class is frozen and rejects unknown keys.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import ModelConfig
from switchhead_lab.config.data import DataConfig
from switchhead_lab.config.objective import DEFAULT_OBJECTIVE, ObjectiveConfig, task_of
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.objectives.base import Task

SEARCHABLE_TRAINING = (
    "learning_rate",
    "n_warmup_steps",
    "final_lr_fraction",
    "clip_norm",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
)
"""Fields of training that a search may set: they change neither the tokens that a model sees nor
how it is evaluated."""


class TrainingConfig(FrozenModel):
    """How a model is trained; the same for every model of a comparison."""

    n_steps: int = Field(ge=1)
    """Optimiser steps."""
    batch_size: int = Field(ge=1)
    """Sequences per optimiser step."""
    micro_batch_size: int = Field(ge=1)
    """Sequences per forward and backward pass; divides `batch_size`, equal to it by default."""
    learning_rate: float = Field(gt=0.0, le=1e30)
    """Peak learning rate."""
    n_warmup_steps: int = Field(default=0, ge=0)
    """Steps of linear warm-up before the cosine decay."""
    final_lr_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Learning rate at the last step as a fraction of the peak."""
    clip_norm: float = Field(gt=0.0)
    """Maximum global gradient norm (the paper's kappa)."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW's decoupled weight decay."""
    adam_beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of AdamW's first moment."""
    adam_beta2: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Decay of AdamW's second moment."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Matmul precision: "auto" is bf16 where the device has it, else fp32."""
    checkpoint_activations: bool = Field(default=False, exclude_if=lambda value: not value)
    """Activation checkpointing: save only the input of each block and recompute the rest in the
    backward pass, a third more time for much less memory. Omitted if false."""
    compile_blocks: bool = Field(default=False, exclude_if=lambda value: not value)
    """Compile each block with torch.compile, on GPUs only: a slow first step, faster later
    ones. Rounds differently from uncompiled blocks. Omitted if false."""
    capture_step: bool = Field(default=False, exclude_if=lambda value: not value)
    """Capture the whole step as a CUDA graph and replay it: one launch instead of thousands, whose
    overhead dominates in small models. CUDA only; excludes `checkpoint_activations`. Omitted if
    false."""
    validate_every: int = Field(ge=1)
    """Steps between validations."""
    checkpoint_every: int = Field(ge=1)
    """Steps between checkpoints."""
    log_every: int = Field(default=10, ge=1)
    """Steps between records of the training loss."""

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
        if self.capture_step and self.checkpoint_activations:
            raise ValueError(
                "capture_step=true with checkpoint_activations=true: a CUDA graph cannot restore "
                "the RNG state that recomputed blocks need; set one of them to false"
            )
        if self.n_warmup_steps >= self.n_steps:
            raise ValueError(
                f"n_warmup_steps={self.n_warmup_steps} but n_steps={self.n_steps}; "
                f"use a warm-up in 0..{self.n_steps - 1}"
            )
        return self


class InitialWeights(FrozenModel):
    """The checkpoint that a run starts from: the last one of another run.

    Users give the name of that run or a prefix of its hash; `training.initial_weights` resolves it,
    so that the identity of a run depends on the weights and not on a name.
    """

    run: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Identity of the source run."""
    step: int = Field(ge=1)
    """Optimiser steps of the checkpoint."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the checkpoint's tensors."""


class RunConfig(FrozenModel):
    """The complete configuration of one training run: everything that can change its result."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initialisation, dropout and the order of the batches."""
    objective: ObjectiveConfig = Field(
        default=DEFAULT_OBJECTIVE, exclude_if=lambda objective: objective == DEFAULT_OBJECTIVE
    )
    """Training objective. Omitted for language modelling, which keeps older identities."""
    data: DataConfig
    """Text and tokenizer, or generated examples."""
    model: ModelConfig
    """Architecture."""
    training: TrainingConfig
    """Optimisation."""
    initial_weights: InitialWeights | None = Field(
        default=None, exclude_if=lambda source: source is None
    )
    """Checkpoint to start from; by default, weights are initialised from the seed. Omitted by
    default, which keeps older identities."""

    @model_validator(mode="before")
    @classmethod
    def _source_is_resolved(cls, values: Any) -> Any:
        source = values.get("initial_weights") if isinstance(values, dict) else None
        if source is not None and not isinstance(source, dict | InitialWeights):
            raise ValueError(
                f"initial_weights = {source!r}: not resolved to a checkpoint; give the name of a "
                "run, in quotes, to `lab train`"
            )
        return values

    @model_validator(mode="after")
    def _objective_is_possible(self) -> Self:
        self.objective.require_possible(self.task)
        return self

    @property
    def task(self) -> Task:
        """Properties of data and model that the objective depends on."""
        return task_of(self.data, self.model)

    @property
    def vocab_size(self) -> int:
        """Number of tokens that the model reads."""
        return self.data.vocab_size + self.objective.n_extra_tokens

    @property
    def n_outputs(self) -> int:
        """Width of the output layer: tokens to predict, or classes."""
        return self.objective.n_outputs(self.task)

    @property
    def tokens_per_step(self) -> int:
        """Tokens read in one optimiser step, padding included."""
        return self.training.batch_size * self.model.seq_len
