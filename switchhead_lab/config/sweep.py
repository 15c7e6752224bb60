"""The schema of a sweep: one fair comparison, declared once.

A sweep file holds a base declaration and `[sizes.NAME]` tables. A size is an overlay: its keys
replace those of the base, so sizes differ only in what they name. `extends` starts a size from
another.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import ModelSizes
from switchhead_lab.config.data import DataConfig
from switchhead_lab.config.declared import DeclaredModel, Seeds, declared_models
from switchhead_lab.config.names import ModelName
from switchhead_lab.config.objective import (
    LanguageModelling,
    ObjectiveConfig,
    count_outputs,
    require_objective_possible,
)
from switchhead_lab.config.schema import TrainingConfig
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants.base import require_top_k_within_experts
from switchhead_lab.variants.registry import OneOf, kind_of

Convention = Literal["equations", "published"]
Choices = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]


class SharedArchitecture(ModelSizes):
    """What all models of a sweep share besides data and training."""

    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden feed-forward activations."""


class Baseline(FrozenModel):
    """The dense model whose budget every other model is given."""

    name: ModelName = "dense"
    """Name in tables and run names."""
    n_heads: int = Field(ge=1)
    """Attention heads."""
    d_head: int = Field(ge=1)
    """Width of each head."""
    d_ff: int = Field(ge=1)
    """Feed-forward width."""
    seeds: Seeds = [0]
    """One run per seed."""


class SearchSpace(FrozenModel):
    """Values Optuna may choose from."""

    n_heads: Choices
    """Attention heads."""
    n_experts: Choices
    """Experts of each head."""
    top_k: Choices
    """Experts chosen per token, head and side."""


class Candidate(FrozenModel):
    """Heads, experts and top-k of a SwitchHead model whose width follows from the budget."""

    n_heads: int = Field(ge=1)
    """Attention heads (the paper's H)."""
    n_experts: int = Field(ge=1)
    """Experts of each head's value and output projections (the paper's E)."""
    top_k: int = Field(ge=1)
    """Experts chosen per token, head and side (the paper's k)."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        require_top_k_within_experts(self.top_k, self.n_experts)
        return self


class Study(FrozenModel):
    """An Optuna study over SwitchHead's shape; its objective is the validation perplexity."""

    name: ModelName = "switchhead"
    """Name in tables and run names."""
    space: SearchSpace
    """Values to choose from; combinations that cannot be matched are told apart before training."""
    first: list[Candidate] = []
    """Candidates to try before the sampler's own, in this order."""
    n_trials: int = Field(ge=1)
    """Distinct candidates to train, pruned ones included."""
    seeds: Seeds = [0]
    """The search trains with the first seed; the best candidate is then trained with them all."""
    sampler_seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the TPE sampler."""
    n_startup_trials: int = Field(default=4, ge=0)
    """Trials at random before TPE models the results; also before the pruner acts."""
    n_pruning_warmup_steps: int = Field(default=0, ge=0)
    """Training steps before a trial can be pruned by the median rule."""

    @model_validator(mode="after")
    def _first_within_space(self) -> Self:
        for candidate in self.first:
            for field in ("n_heads", "n_experts", "top_k"):
                value, allowed = getattr(candidate, field), getattr(self.space, field)
                if value not in allowed:
                    raise ValueError(
                        f"a first candidate has {field}={value}, which is not in the space "
                        f"{allowed}; add it to space.{field}"
                    )
        return self


class PaperModel(FrozenModel):
    """A model of the paper, where a sweep's model does not stand for the one of its kind."""

    model: str
    """The paper's name of the model."""
    params: int | None = None
    """Its size in millions, as printed, where that is not the size of the other rows."""
    n_heads: int | None = None
    """Its heads, where rows differ by them."""
    experts: str = ""
    """Its projections with experts, as printed (Table 6)."""


class PaperRow(FrozenModel):
    """The comparison of the paper that this sweep echoes, shown beside our figures."""

    table: int = Field(ge=1, le=8)
    """Table number."""
    dataset: str
    """Data set of the rows."""
    params: int | None = Field(default=None, ge=1)
    """Model size in millions, as printed; left out where the table prints none."""
    models: dict[str, PaperModel] = Field(default={}, exclude_if=lambda models: not models)
    """The paper's models by the sweep's names, for those that are not dense or plain SwitchHead."""


class Sweep(FrozenModel):
    """One comparison at one size: a dense baseline and models given the same budget."""

    name: ModelName
    """Name of the sweep."""
    size: ModelName
    """Name of the size."""
    summary: str = ""
    """One sentence for listings."""
    matching: Literal["parameter_matched", "mac_matched"]
    """Budget that every model shares with the baseline."""
    convention: Convention = "published"
    """Accounting convention of MACs and memory."""
    objective: ObjectiveConfig = Field(
        default=LanguageModelling(), exclude_if=lambda objective: objective == LanguageModelling()
    )
    """What is learned; absent where it is language modelling."""
    data: DataConfig
    """Text and tokenizer, or generated examples."""
    model: SharedArchitecture
    """Shared architecture."""
    training: TrainingConfig
    """Shared optimisation."""
    baseline: Baseline
    """The dense baseline."""
    models: list[Annotated[DeclaredModel, OneOf(declared_models)]] = []
    """Further declared models."""
    study: Study | None = None
    """Search over SwitchHead shapes; leave out for a sweep of declared models only."""
    paper: PaperRow | None = None
    """Rows of the paper to print beside ours; leave out where the paper has none."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens that every model reads."""
        return self.data.vocab_size

    @property
    def n_outputs(self) -> int:
        """Width of every model's output layer."""
        return count_outputs(self.objective, self.data)

    @model_validator(mode="after")
    def _objective_is_possible(self) -> Self:
        require_objective_possible(
            self.objective,
            self.data,
            direction=self.model.direction,
            seq_len=self.model.seq_len,
            context_multiple=self.model.context_multiple,
        )
        return self

    @model_validator(mode="after")
    def _convention_prices_every_model(self) -> Self:
        variants = [v for model in self.models for v in model.variants]
        unpriced = [v for v in variants if self.convention not in v.conventions]
        if unpriced:
            shared = [c for c in get_args(Convention) if all(c in v.conventions for v in variants)]
            advice = f"use {' or '.join(shared)}" if shared else "no convention prices all models"
            raise ValueError(
                f'convention="{self.convention}" does not price {kind_of(unpriced[0])} '
                f"{unpriced[0].block}; {advice}"
            )
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        names = [self.baseline.name, *(model.name for model in self.models)]
        if self.study is not None:
            names.append(self.study.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two models are named "{name}"; give each its own name')
        return self
