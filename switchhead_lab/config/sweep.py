"""The schema of a sweep: one fair comparison, declared once.

A sweep file holds a base declaration and `[sizes.NAME]` tables. A size is an overlay: its keys
replace those of the base, so sizes differ only in what they name. `extends` starts a size from
another.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from switchhead_lab.config.architecture import Direction, require_memory_possible
from switchhead_lab.config.data import DataConfig
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
from switchhead_lab.variants.moa import MoaShape
from switchhead_lab.variants.positions import PositionsConfig, TransformerXLPositions
from switchhead_lab.variants.sigma_moe import SigmaMoeFeedForward
from switchhead_lab.variants.switchhead import SwitchHeadOptions, SwitchHeadShape

Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
Convention = Literal["equations", "published"]
Choices = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
AttentionDimension = Literal["d_head", "n_heads", "n_experts"]
# "n_experts" alone is attention's.
SigmaMoeDimension = Literal["d_expert", "feedforward.n_experts"]
FeedForwardDimension = Literal["d_ff", SigmaMoeDimension]
FreeDimension = Literal[AttentionDimension, FeedForwardDimension]
SIGMA_MOE_DIMENSIONS: tuple[SigmaMoeDimension, ...] = get_args(SigmaMoeDimension)
FOLLOWS = 0
"""Stands for a dimension that follows from the budget; no dimension can be given as 0."""
Dimension = Annotated[int, Field(ge=1, exclude_if=lambda value: value == FOLLOWS)]


class Frame(FrozenModel):
    """What all models of a sweep share besides data and training."""

    d_model: int = Field(ge=2, multiple_of=2)
    """Residual width; even, because the position table pairs sines with cosines."""
    n_layers: int = Field(ge=1)
    """Transformer blocks."""
    seq_len: int = Field(ge=2)
    """Length of the active chunk in tokens (the paper's T)."""
    context_multiple: int = Field(default=2, ge=1, le=16)
    """Chunks of context including the active one (the paper's C); 1 means no memory."""
    direction: Direction = Field(default="causal", exclude_if=lambda value: value == "causal")
    """Which positions a token sees; absent where causal, as in the model's configuration."""
    positions: PositionsConfig = TransformerXLPositions()
    """Position encoding."""
    p_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Dropout probability on the hidden feed-forward activations."""

    @model_validator(mode="after")
    def _memory_is_possible(self) -> Self:
        require_memory_possible(self.direction, self.context_multiple)
        return self


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


class SigmaMoeModel(SigmaMoeFeedForward):
    """Sigma-MoE; its experts or their width may follow from the baseline's budget."""

    n_experts: Dimension = FOLLOWS
    """Experts; left out where they follow."""
    d_expert: Dimension = FOLLOWS
    """Hidden width of each expert; left out where it follows."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        if self.n_experts != FOLLOWS:
            require_top_k_within_experts(self.top_k, self.n_experts)
        return self


class _Declared(FrozenModel):
    """What every declared model has.

    Every dimension is given but the one that `match_over` names. Two things follow besides it: d_ff
    of a dense feed-forward, which takes what attention leaves of the parameters, and d_head where a
    sigma-MoE is matched and d_head was left out (attention is then matched first).
    """

    name: ModelName
    """Name in tables and run names."""
    seeds: Seeds = [0]
    """One run per seed."""
    match_over: FreeDimension = Field(
        default="d_head", exclude_if=lambda dimension: dimension == "d_head"
    )
    """The dimension that follows from the baseline's budget. Those of attention meet attention's
    budget; those of the feed-forward meet that of attention and feed-forward together."""
    d_head: Dimension = FOLLOWS
    """Width of each head; left out where it follows."""
    feedforward: SigmaMoeModel | None = None
    """Sigma-MoE in place of the dense feed-forward; leave out to keep that, matched."""

    @model_validator(mode="after")
    def _one_dimension_follows(self) -> Self:
        free = self.match_over
        if free == "d_ff" and self.feedforward is not None:
            raise ValueError(
                'match_over="d_ff" but the feed-forward is a sigma-MoE, which has no d_ff; use '
                '"d_expert" or "feedforward.n_experts"'
            )
        if free in SIGMA_MOE_DIMENSIONS and self.feedforward is None:
            raise ValueError(
                f'match_over="{free}" but no sigma-MoE is declared; add feedforward, or use "d_ff"'
            )
        for name, value in self._dimensions().items():
            if name == free and value != FOLLOWS:
                raise ValueError(
                    f'{name}={value} but match_over="{free}": {name} follows from the budget; '
                    "leave it out, or name another dimension in match_over"
                )
            is_matched_first = name == "d_head" and free in SIGMA_MOE_DIMENSIONS
            if name != free and value == FOLLOWS and not is_matched_first:
                raise ValueError(
                    f'{name} is missing: with match_over="{free}" only {free} follows from the '
                    f"budget; add {name}"
                )
        return self

    def _dimensions(self) -> dict[str, int]:
        """Return the dimensions that the model has, by their name in `match_over`."""
        names = [name for name in ("d_head", "n_heads", "n_experts") if hasattr(self, name)]
        found: dict[str, int] = {name: getattr(self, name) for name in names}
        if self.feedforward is not None:
            found["feedforward.n_experts"] = self.feedforward.n_experts
            found["d_expert"] = self.feedforward.d_expert
        return found


class HeadMatchedModel(_Declared):
    """Dense attention, by default head-matched: with these heads and the baseline's parameters."""

    kind: Literal["dense"] = "dense"
    match_over: Literal["d_head", "n_heads", FeedForwardDimension] = Field(
        default="d_head", exclude_if=lambda dimension: dimension == "d_head"
    )
    """The dimension that follows; over d_head parameters are kept, whatever the sweep matches."""
    n_heads: Dimension = FOLLOWS
    """Attention heads; left out where they follow."""


class SwitchHeadModel(_Declared, SwitchHeadShape, SwitchHeadOptions):
    """SwitchHead; d_head (and d_ff, by the rule) follow from the baseline's budget by default."""

    kind: Literal["switchhead"] = "switchhead"
    n_heads: Dimension = FOLLOWS
    """Attention heads (the paper's H); left out where they follow."""
    n_experts: Dimension = FOLLOWS
    """Experts of each head's projections (the paper's E); left out where they follow."""

    @model_validator(mode="after")
    def _top_k_within_experts(self) -> Self:
        if self.n_experts != FOLLOWS:
            require_top_k_within_experts(self.top_k, self.n_experts)
        return self


class MoaModel(_Declared, MoaShape):
    """Mixture of Attention Heads; d_head (and d_ff, by the rule) follow by default."""

    kind: Literal["moa"] = "moa"
    n_heads: Dimension = FOLLOWS
    """Heads that each token picks (the paper's H); left out where they follow."""
    n_experts: Dimension = FOLLOWS
    """Heads to pick from (the paper's E); left out where they follow."""

    @model_validator(mode="after")
    def _heads_within_experts(self) -> Self:
        if self.n_experts != FOLLOWS:
            # Callable, though pydantic's types say otherwise.
            super()._heads_within_experts()  # type: ignore[operator]
        return self


DeclaredModel = Annotated[
    HeadMatchedModel | SwitchHeadModel | MoaModel, Field(discriminator="kind")
]


class SearchSpace(FrozenModel):
    """Values Optuna may choose from."""

    n_heads: Choices
    """Attention heads."""
    n_experts: Choices
    """Experts of each head."""
    top_k: Choices
    """Experts chosen per token, head and side."""


class Study(FrozenModel):
    """An Optuna study over SwitchHead's shape; its objective is the validation perplexity."""

    name: ModelName = "switchhead"
    """Name in tables and run names."""
    space: SearchSpace
    """Values to choose from; combinations that cannot be matched are told apart before training."""
    first: list[SwitchHeadShape] = []
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
    model: Frame
    """Shared architecture."""
    training: TrainingConfig
    """Shared optimisation."""
    baseline: Baseline
    """The dense baseline."""
    models: list[DeclaredModel] = []
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
    def _distinct_names(self) -> Self:
        names = [self.baseline.name, *(model.name for model in self.models)]
        if self.study is not None:
            names.append(self.study.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two models are named "{name}"; give each its own name')
        return self
